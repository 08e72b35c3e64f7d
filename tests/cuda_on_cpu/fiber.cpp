#include "fiber.h"

#include <utility>

// Of the address sanitizer, null without it: it must know which stack is in use.
extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake, const void* bottom, size_t size);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake, const void** bottom, size_t* size);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* first, size_t size);
}

namespace cuda_on_cpu {

namespace {

Fiber* running = nullptr;

// The compiler's own, as swapcontext makes a system call, and the library's longjmp is intercepted
// by the sanitizer, which takes it for the end of all frames.
// One of them may not stand in a function with the other.
[[noreturn, gnu::noinline]] void go(void** to) { __builtin_longjmp(to, 1); }

[[gnu::noinline]] void jump(void** from, void** to) {
    if (__builtin_setjmp(from) == 0) go(to);
}

[[gnu::noinline]] void jump(void** from, const ucontext_t& to) {
    if (__builtin_setjmp(from) == 0) setcontext(&to);
}

void start_switch(void** fake, const void* bottom, size_t size) {
    if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(fake, bottom, size);
}

void finish_switch(void* fake, const void** bottom, size_t* size) {
    if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(fake, bottom, size);
}

}  // namespace

Fiber::Fiber(const std::function<void(unsigned)>& run, unsigned argument)
    : run_(run), argument_(argument), stack_(new char[kStack]) {
    getcontext(&start_);
    start_.uc_stack.ss_sp = stack_.get();
    start_.uc_stack.ss_size = kStack;
    start_.uc_link = nullptr;
    makecontext(&start_, &Fiber::begin, 0);
}

Fiber::~Fiber() {
    // Frames that never returned left their marks.
    if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(stack_.get(), kStack);
}

void Fiber::resume() {
    running = this;
    void* fake = nullptr;
    start_switch(&fake, stack_.get(), kStack);
    if (std::exchange(started_, true))
        jump(there_, here_);
    else
        jump(there_, start_);
    finish_switch(fake, nullptr, nullptr);
    running = nullptr;
}

void Fiber::stop() { running->leave(); }

void Fiber::begin() { running->loop(); }

void Fiber::loop() {
    finish_switch(nullptr, &outer_stack_, &outer_size_);
    for (;;) {
        run_(argument_);
        leave();
    }
}

void Fiber::leave() {
    start_switch(&fake_stack_, outer_stack_, outer_size_);
    jump(here_, there_);
    finish_switch(fake_stack_, &outer_stack_, &outer_size_);
}

}  // namespace cuda_on_cpu
