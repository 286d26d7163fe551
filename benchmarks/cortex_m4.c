/* Runs user.c on an emulated Cortex-M4 (QEMU's board mps2-an386). By semihosting it reads cases.bin, of six floats
 * each, and writes answers.bin, of seven floats each, and ticks.bin, of one number for a loop of known length and
 * one for each case. A tick is one of SysTick's, at 25 MHz of the virtual clock. WITHOUT_USER leaves out the answers,
 * to see what size the rest has. */
#include <stdint.h>

#include "user.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define COPROCESSOR_ACCESS REGISTER(0xE000ED88u)
#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u)
#define MOST_TICKS 0xFFFFFFu

#define LOOPS 1000000u /* of two instructions each */

enum { OPEN = 0x01, CLOSE = 0x02, WRITE = 0x05, READ = 0x06, EXIT = 0x18 };
enum { FOR_READING = 1, FOR_WRITING = 5 };

static intptr_t call_host(int operation, const void *arguments)
{
    register intptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static intptr_t open_file(const char *name, uintptr_t length, uintptr_t mode)
{
    const uintptr_t arguments[3] = {(uintptr_t)name, mode, length};
    return call_host(OPEN, arguments);
}

/* Bytes that could not be transferred. */
static intptr_t transfer(int operation, intptr_t file, const void *data, uintptr_t size)
{
    const uintptr_t arguments[3] = {(uintptr_t)file, (uintptr_t)data, size};
    return call_host(operation, arguments);
}

static uint32_t ticks_since(uint32_t start)
{
    return (start - SYSTICK_VALUE) & MOST_TICKS; /* it counts down */
}

static uint32_t ticks_of_loops(void)
{
    const uint32_t start = SYSTICK_VALUE;
    uint32_t left = LOOPS;
    __asm__ volatile("1: subs %0, #1\n\tbne 1b" : "+r"(left) : : "cc");
    return ticks_since(start);
}

static void answer_all(void)
{
    struct {
        scattermec_message message;
        float workload, battery, channel_gain;
    } one;
    scattermec_answer answer = {0};
    uint32_t ticks;
    const intptr_t cases = open_file("cases.bin", 9, FOR_READING);
    const intptr_t answers = open_file("answers.bin", 11, FOR_WRITING);
    const intptr_t times = open_file("ticks.bin", 9, FOR_WRITING);
    SYSTICK_RELOAD = MOST_TICKS;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 5; /* on, by the processor's clock */
    ticks = ticks_of_loops();
    transfer(WRITE, times, &ticks, sizeof ticks);
    while (transfer(READ, cases, &one, sizeof one) == 0) {
        const uint32_t start = SYSTICK_VALUE;
#ifndef WITHOUT_USER
        scattermec_respond(&one.message, one.workload, one.battery, one.channel_gain, &answer);
#endif
        ticks = ticks_since(start);
        transfer(WRITE, answers, &answer, sizeof answer);
        transfer(WRITE, times, &ticks, sizeof ticks);
    }
    call_host(CLOSE, &answers);
    call_host(CLOSE, &times);
}

static void reset(void)
{
    COPROCESSOR_ACCESS |= 0xFu << 20; /* the floating-point unit */
    __asm__ volatile("dsb\n\tisb");
    answer_all();
    call_host(EXIT, (const void *)0x20026); /* the program has ended as it should */
}

extern uint32_t top_of_stack; /* by the linker */
__attribute__((section(".vectors"), used)) static void *const vectors[] = {&top_of_stack, (void *)reset};
