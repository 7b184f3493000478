/*
 * A plugin for QEMU's user mode: counts how often each translation block runs
 * between two marks and writes the blocks' machine code beside the counts.
 *
 * A mark is the harmless system call getpgid(MARK + 2 k) where counting k
 * starts and getpgid(MARK + 2 k + 1) where it ends. Counting k goes to the file
 * named by the argument out, with ".k" appended; a line is
 *     executions, a space, code in hexadecimal.
 *
 * The declarations below are those of QEMU's plugin interface, which Debian
 * does not ship, in its version 1: that of every QEMU before 9.0.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

#define MARK 0x4C540000u
#define MARKS 16u
#define SYSCALL_GETPGID 155 /* On aarch64. */
#define INSTRUCTION_BYTES 4

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { INLINE_ADD_U64 = 0 };

typedef void (*translation_callback)(plugin_id, struct qemu_plugin_tb *);
typedef void (*syscall_callback)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                                 uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translation_callback);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, syscall_callback);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);

extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *,
                                                     uint64_t);

EXPORT int qemu_plugin_version = 1;

struct block {
    struct block *next;
    uint64_t executions;
    uint64_t before; /* Executions when counting started. */
    size_t instructions;
    uint8_t code[];
};

/* Global, since the emulator calls back without a handle of ours. */
static struct block *blocks;
static const char *out_path;

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb)
{
    size_t instructions = qemu_plugin_tb_n_insns(tb);
    struct block *block = calloc(1, sizeof(*block) + instructions * INSTRUCTION_BYTES);
    (void)id;
    if (!block) {
        fputs("armcount: out of memory\n", stderr);
        abort();
    }
    block->instructions = instructions;
    for (size_t i = 0; i < instructions; i++) {
        memcpy(block->code + i * INSTRUCTION_BYTES,
               qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), INSTRUCTION_BYTES);
    }
    qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &block->executions, 1);
    /* Only one thread of the guest translates while counting, and QEMU holds a lock anyway. */
    block->next = blocks;
    blocks = block;
}

static void write_block(FILE *file, const struct block *block, uint64_t executions)
{
    fprintf(file, "%" PRIu64 " ", executions);
    for (size_t i = 0; i < block->instructions * INSTRUCTION_BYTES; i++) {
        fprintf(file, "%02x", block->code[i]);
    }
    fputc('\n', file);
}

static void start(void)
{
    for (struct block *block = blocks; block; block = block->next) {
        block->before = block->executions;
    }
}

static void stop(unsigned number)
{
    char path[4096];
    FILE *file;
    snprintf(path, sizeof(path), "%s.%u", out_path, number);
    file = fopen(path, "w");
    if (!file) {
        perror("armcount");
        abort();
    }
    for (struct block *block = blocks; block; block = block->next) {
        uint64_t executions = block->executions - block->before;
        if (executions) {
            write_block(file, block, executions);
        }
    }
    if (fclose(file)) {
        perror("armcount");
        abort();
    }
}

static void on_syscall(plugin_id id, unsigned vcpu, int64_t number, uint64_t first, uint64_t a2,
                       uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)vcpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != SYSCALL_GETPGID || first < MARK || first >= MARK + 2 * MARKS) {
        return;
    }
    if (first % 2 == 0) {
        start();
    } else {
        stop((unsigned)(first - MARK) / 2);
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4)) {
            out_path = strdup(argv[i] + 4);
        }
    }
    if (!out_path) {
        fputs("armcount: needs out=PATH\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    return 0;
}
