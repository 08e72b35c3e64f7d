// A function that can stop in its midst and go on later, on a stack of its own.
#pragma once

#include <ucontext.h>

#include <functional>
#include <memory>

namespace cuda_on_cpu {

class Fiber {
  public:
    static constexpr size_t kStack = 64 << 10;

    explicit Fiber(const std::function<void(unsigned)>& run, unsigned argument);
    ~Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;

    // Runs it until it stops, or returns and stands at its beginning again.
    void resume();
    // For the one that runs: goes back to where it was resumed.
    static void stop();

  private:
    static void begin();
    [[noreturn]] void loop();
    void leave();

    const std::function<void(unsigned)>& run_;
    const unsigned argument_;
    std::unique_ptr<char[]> stack_;
    ucontext_t start_;
    bool started_ = false;
    void *here_[5], *there_[5];  // where it stopped, and where it was resumed
    void* fake_stack_ = nullptr;
    const void* outer_stack_ = nullptr;
    size_t outer_size_ = 0;
};

}  // namespace cuda_on_cpu
