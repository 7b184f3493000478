/** Reads the tables of a FlatBuffer; a position outside of the file raises RangeError. */

export class Table {
  constructor(view, position) {
    this.view = view;
    this.position = position;
    this.vtable = position - view.getInt32(position, true);
    this.vtableSize = view.getUint16(this.vtable, true);
  }

  /** The table that the file starts with. */
  static root(view) {
    return new Table(view, view.getUint32(0, true));
  }

  /** Position of a field by its number in the schema; 0 where it has its default. */
  field(number) {
    const slot = 4 + 2 * number;
    if (slot + 2 > this.vtableSize) return 0;
    const offset = this.view.getUint16(this.vtable + slot, true);
    return offset === 0 ? 0 : this.position + offset;
  }

  uint8(number) {
    const at = this.field(number);
    return at ? this.view.getUint8(at) : 0;
  }

  uint32(number) {
    const at = this.field(number);
    return at ? this.view.getUint32(at, true) : 0;
  }

  table(number) {
    const at = this.field(number);
    return at ? new Table(this.view, this.#follow(at)) : null;
  }

  string(number) {
    return new TextDecoder().decode(this.bytes(number));
  }

  bytes(number) {
    const { start, length } = this.#vector(number, 1);
    return new Uint8Array(this.view.buffer, this.view.byteOffset + start, length);
  }

  int32s(number) {
    return this.#items(number, 4, (at) => this.view.getInt32(at, true));
  }

  float32s(number) {
    return this.#items(number, 4, (at) => this.view.getFloat32(at, true));
  }

  int64s(number) {
    return this.#items(number, 8, (at) => Number(this.view.getBigInt64(at, true)));
  }

  tables(number) {
    return this.#items(number, 4, (at) => new Table(this.view, this.#follow(at)));
  }

  #follow(at) {
    return at + this.view.getUint32(at, true);
  }

  #vector(number, itemSize) {
    const at = this.field(number);
    if (!at) return { start: 0, length: 0 };
    const position = this.#follow(at);
    const length = this.view.getUint32(position, true);
    if (position + 4 + length * itemSize > this.view.byteLength) {
      throw new RangeError("a vector ends outside of the file");
    }
    return { start: position + 4, length };
  }

  #items(number, itemSize, read) {
    const { start, length } = this.#vector(number, itemSize);
    return Array.from({ length }, (_, i) => read(start + i * itemSize));
  }
}
