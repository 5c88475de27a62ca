; What a library of compiled code brings along on Windows, where no symbol stays undefined.

define i32 @DllMainCRTStartup(ptr %module, i32 %reason, ptr %reserved) nounwind {
  ret i32 1
}

; C's memset, as the processor has it.
define ptr @memset(ptr %start, i32 %byte, i64 %size) nounwind {
  %value = trunc i32 %byte to i8
  %ends = call { ptr, i64 } asm sideeffect "rep stosb", "={rdi},={rcx},{al},0,1,~{memory},~{dirflag},~{fpsr},~{flags}"(i8 %value, ptr %start, i64 %size)
  ret ptr %start
}

; A function with more than a page of variables calls this with their size in rax: it touches each page in turn,
; since the stack grows by the page that is touched next. All registers stay as they are.
module asm ".globl ___chkstk_ms"
module asm "___chkstk_ms:"
module asm "  pushq %rcx"
module asm "  pushq %rax"
module asm "  leaq 24(%rsp), %rcx"
module asm "1: cmpq $4096, %rax"
module asm "  jb 2f"
module asm "  subq $4096, %rcx"
module asm "  testq %rcx, (%rcx)"
module asm "  subq $4096, %rax"
module asm "  jmp 1b"
module asm "2: subq %rax, %rcx"
module asm "  testq %rcx, (%rcx)"
module asm "  popq %rax"
module asm "  popq %rcx"
module asm "  retq"
