"""Sorts A64 instruction words into classes and says how many bytes they move.

Encodings: Arm Architecture Reference Manual for A-profile, chapter C4. What SVE
and SME add is not decoded: no emulated core has them.
"""

import dataclasses

CLASSES = ("dot", "fp_mac", "int_mac", "load", "store", "other")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """What an instruction counts as.

    Attributes:
        kind: one of `CLASSES`. What both loads and stores (atomics) is a load.
        load_bytes, store_bytes: that it moves.
    """

    kind: str
    load_bytes: int = 0
    store_bytes: int = 0


_OTHER = Instruction("other")


def decode(word: int) -> Instruction:
    """Decodes one instruction.

    Args:
        word: its 32 bits.

    Returns:
        An `Instruction`; "other" for what is none of the other classes, and
        for words that are no instruction.
    """
    if word & 0x0A000000 == 0x08000000:
        return _memory(word)
    if word & 0x0E000000 == 0x0E000000:
        return Instruction(_simd_kind(word))
    return _OTHER


def _bits(word: int, high: int, low: int) -> int:
    return word >> low & (1 << high - low + 1) - 1


def _moved(is_load: int, size_bytes: int) -> Instruction:
    if is_load:
        return Instruction("load", load_bytes=size_bytes)
    return Instruction("store", store_bytes=size_bytes)


def _swapped(size_bytes: int) -> Instruction:
    return Instruction("load", load_bytes=size_bytes, store_bytes=size_bytes)


def _memory(word: int) -> Instruction:
    """Loads and stores, C4.1.94."""
    if word & 0xBFBF0000 == 0x0C000000 or word & 0xBFA00000 == 0x0C800000:
        return _structures(word)
    if word & 0xBF9F0000 == 0x0D000000 or word & 0xBF800000 == 0x0D800000:
        return _single_structure(word)
    if word & 0x3F000000 == 0x08000000:
        return _exclusive(word)
    if word & 0x3B000000 == 0x18000000:
        return _literal(word)
    if word & 0x3F200C00 == 0x19000000:  # LDAPUR, STLUR.
        return _moved(_bits(word, 23, 22), 1 << _bits(word, 31, 30))
    if word & 0x3A000000 == 0x28000000:
        return _pair(word)
    if word & 0x3A000000 == 0x38000000:
        return _register(word)
    return _OTHER


# LD1 to LD4 and ST1 to ST4 of whole registers: opcode to number of registers.
_STRUCTURE_REGISTERS = {0b0000: 4, 0b0010: 4, 0b0100: 3, 0b0110: 3, 0b0111: 1, 0b1000: 2, 0b1010: 2}


def _structures(word: int) -> Instruction:
    registers = _STRUCTURE_REGISTERS.get(_bits(word, 15, 12))
    if registers is None:
        return _OTHER
    return _moved(_bits(word, 22, 22), registers * (16 if _bits(word, 30, 30) else 8))


def _single_structure(word: int) -> Instruction:
    opcode, size = _bits(word, 15, 13), _bits(word, 11, 10)
    registers = ((opcode & 1) << 1 | _bits(word, 21, 21)) + 1
    # The last is LD1R to LD4R, which fill a register with one element.
    element_bytes = (1, 2, 8 if size & 1 else 4, 1 << size)[opcode >> 1]
    return _moved(_bits(word, 22, 22), registers * element_bytes)


def _exclusive(word: int) -> Instruction:
    """Exclusive, ordered, compare-and-swap."""
    size, is_load = _bits(word, 31, 30), _bits(word, 22, 22)
    is_ordered, is_pair = _bits(word, 23, 23), _bits(word, 21, 21)
    if not is_pair:
        return _moved(is_load, 1 << size)
    if is_ordered:  # CAS.
        return _swapped(1 << size)
    if size < 2:  # CASP.
        return _swapped(2 * (4 << size))
    return _moved(is_load, 2 * (1 << size))


def _literal(word: int) -> Instruction:
    opcode, is_vector = _bits(word, 31, 30), _bits(word, 26, 26)
    if opcode == 3:  # PRFM.
        return _OTHER
    return _moved(1, 4 << opcode if is_vector else (4, 8, 4)[opcode])


def _pair(word: int) -> Instruction:
    opcode, is_vector = _bits(word, 31, 30), _bits(word, 26, 26)
    if opcode == 3:
        return _OTHER
    # LDPSW reads two words of 4 bytes; what would store so is STGP, of 8 each.
    integer_bytes = (4, 4 if _bits(word, 22, 22) else 8, 8)[opcode]
    return _moved(_bits(word, 22, 22), 2 * (4 << opcode if is_vector else integer_bytes))


def _register(word: int) -> Instruction:
    """One register: immediate or register offset; atomics."""
    size, opcode = _bits(word, 31, 30), _bits(word, 23, 22)
    mode = _bits(word, 24, 24), _bits(word, 21, 21), _bits(word, 11, 10)
    is_vector = _bits(word, 26, 26)
    if mode[:2] == (0, 1) and mode[2] != 2 and not is_vector:
        if mode[2] & 1:  # LDRAA, LDRAB.
            return _moved(1, 8)
        # LDAPR only reads; all others add, swap and so on.
        return _moved(1, 1 << size) if _bits(word, 15, 12) == 0b1100 else _swapped(1 << size)
    if is_vector:
        return _moved(opcode & 1, 16 if opcode & 2 else 1 << size)
    if size == 3 and opcode == 2:  # PRFM, PRFUM.
        return _OTHER
    return _moved(opcode, 1 << size)


def _simd_kind(word: int) -> str:
    """Scalar and vector floating point and SIMD, C4.1.96."""
    if word & 0xFF000000 == 0x1F000000:  # FMADD and its like.
        return "fp_mac"
    opcode4, is_unsigned = _bits(word, 15, 12), _bits(word, 29, 29)
    if word & 0x9F000400 == 0x0F000000:
        return _by_element(is_unsigned, opcode4, _bits(word, 23, 22))
    if word & 0xDF000400 == 0x5F000000:
        return _by_element(is_unsigned, opcode4, 0) if opcode4 != 0b1000 else "other"
    if word & 0x9F200C00 == 0x0E200000:
        return "int_mac" if opcode4 in _LONG else "other"
    if word & 0xDF200C00 == 0x5E200000:
        return "int_mac" if opcode4 in _LONG else "other"
    if word & 0x9F200400 == 0x0E200400:
        return _SAME.get((is_unsigned, _bits(word, 15, 11)), "other")
    if word & 0x9F60C400 == 0x0E400400:  # Half precision; FMLA, FMLS.
        return "fp_mac" if (is_unsigned, _bits(word, 13, 11)) == (0, 0b001) else "other"
    if word & 0x9F208400 == 0x0E008400:
        return _same_extra(is_unsigned, _bits(word, 14, 11))
    return "other"


# SMLAL, SQDMLAL, SMLSL, SQDMLSL, SMULL, SQDMULL: not PMULL.
_LONG = frozenset({0b1000, 0b1001, 0b1010, 0b1011, 0b1100, 0b1101})

_SAME = {
    (0, 0b10010): "int_mac",  # MLA.
    (1, 0b10010): "int_mac",  # MLS.
    (0, 0b10011): "int_mac",  # MUL.
    (0, 0b11001): "fp_mac",  # FMLA, FMLS.
    (1, 0b11001): "fp_mac",  # FMLAL2, FMLSL2.
    (0, 0b11101): "fp_mac",  # FMLAL, FMLSL.
}


def _same_extra(is_unsigned: int, opcode: int) -> str:
    # SDOT, UDOT; USDOT; SMMLA, UMMLA; USMMLA.
    if opcode in (0b0010, 0b0100) or (is_unsigned, opcode) in ((0, 0b0011), (0, 0b0101)):
        return "dot"
    if is_unsigned and opcode in (0b0000, 0b0001):  # SQRDMLAH, SQRDMLSH.
        return "int_mac"
    # FCMLA; BFMMLA; BFDOT, BFMLAL.
    if is_unsigned and (opcode >> 2 == 0b10 or opcode in (0b1101, 0b1111)):
        return "fp_mac"
    return "other"


# SMLAL, SQDMLAL, SMLSL, SQDMLSL, MUL, SMULL, SQDMULL.
_ELEMENT_SIGNED = frozenset({0b0010, 0b0011, 0b0110, 0b0111, 0b1000, 0b1010, 0b1011})
# MLA, UMLAL, MLS, UMLSL, UMULL, SQRDMLAH, SQRDMLSH.
_ELEMENT_UNSIGNED = frozenset({0b0000, 0b0010, 0b0100, 0b0110, 0b1010, 0b1101, 0b1111})


def _by_element(is_unsigned: int, opcode: int, size: int) -> str:
    if opcode == 0b1110:  # SDOT, UDOT.
        return "dot"
    if not is_unsigned:
        if opcode == 0b1111:  # SUDOT, USDOT; BFDOT, BFMLAL.
            return "dot" if size in (0b00, 0b10) else "fp_mac"
        if opcode in (0b0000, 0b0001, 0b0100, 0b0101):  # FMLAL, FMLA, FMLSL, FMLS.
            return "fp_mac"
        return "int_mac" if opcode in _ELEMENT_SIGNED else "other"
    # FCMLA has four rotations; FMLAL2, FMLSL2.
    if opcode in (0b0001, 0b0011, 0b0101, 0b0111, 0b1000, 0b1100):
        return "fp_mac"
    return "int_mac" if opcode in _ELEMENT_UNSIGNED else "other"
