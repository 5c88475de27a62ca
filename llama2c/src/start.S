# The first instructions, after the 64-bit ELF V2 ABI for PowerPC: set up the TOC pointer and a first stack frame.
    .machine "970"
    .abiversion 2
    .section .text.start, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    mr      3, 1                    # the kernel's stack: argc and what follows
    bl      1f
1:  mflr    2
    addis   2, 2, .TOC.-1b@ha
    addi    2, 2, .TOC.-1b@l
    clrrdi  1, 1, 4
    li      0, 0
    stdu    0, -32(1)               # back chain 0: the outermost frame
    mtlr    0
    bl      platform_start
    nop
    trap
    .size _start, . - _start
    .section .note.GNU-stack, "", @progbits
