// The device that include/ stands in for. Blocks run one after the other. The threads of one take
// turns: each runs until it waits for others, and which goes on next is drawn by a seed.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "fiber.h"

uint3 threadIdx, blockIdx, gridDim;

extern "C" {
// Of the address sanitizer, null without it.
[[gnu::weak]] void __asan_poison_memory_region(const volatile void* first, size_t size);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* first, size_t size);
}

namespace cuda_on_cpu {

int mutant = 0;

namespace {

constexpr unsigned kMostThreads = 1024;

// Memory of the device. Only kernels and copies can read it: the host's accesses are errors.
std::map<void*, size_t> memory;

class Access {
  public:
    Access() { all(__asan_unpoison_memory_region); }
    ~Access() { all(__asan_poison_memory_region); }
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

  private:
    static void all(void (*mark)(const volatile void*, size_t)) {
        if (!mark) return;
        for (const auto& [first, size] : memory) mark(first, size);
    }
};

enum class State { ready, at_barrier, at_meeting, done };

struct Thread {
    State state;
    int line;       // where it waits,
    unsigned mask;  // for which lanes of its warp,
    void* mine;     // and with what
};

class Grid {
  public:
    void run(unsigned blocks, unsigned threads, const std::function<void()>& body, uint64_t seed) {
        body_ = body;
        threads_.resize(threads);
        while (fibers_.size() < threads)
            fibers_.push_back(
                std::make_unique<Fiber>(enter_, static_cast<unsigned>(fibers_.size())));
        random_.seed(seed);
        gridDim = {blocks, 1, 1};
        std::vector<unsigned> order(blocks);
        for (unsigned i = 0; i < blocks; ++i) order[i] = i;
        std::shuffle(order.begin(), order.end(), random_);
        for (const unsigned block : order) run_block(block);
    }

    void share(void* first, size_t size) {
        if (shared_.insert(first).second) std::memset(first, 0xFF, size);
    }

    void barrier(int line) {
        threads_[threadIdx.x] = {State::at_barrier, line, 0, nullptr};
        Fiber::stop();
    }

    void meet(int line, unsigned mask, void* mine, void (*exchange)(void* const*)) {
        const unsigned lane = threadIdx.x % kWarp, first = threadIdx.x - lane;
        if (!(mask >> lane & 1)) fail("line " + std::to_string(line) + ": a lane not in its mask");
        threads_[threadIdx.x] = {State::at_meeting, line, mask, mine};
        void* lanes[kWarp] = {};
        bool complete = true;
        for (unsigned i = 0; i < kWarp; ++i) {
            if (!(mask >> i & 1)) continue;
            if (first + i >= threads_.size()) fail("a mask with lanes that do not exist");
            const Thread& other = threads_[first + i];
            if (other.state != State::at_meeting) {
                complete = false;
            } else if (other.line != line || other.mask != mask) {
                fail("lanes of a warp wait at lines " + std::to_string(line) + " and " +
                     std::to_string(other.line));
            } else {
                lanes[i] = other.mine;
            }
        }
        if (complete) {
            exchange(lanes);
            for (unsigned i = 0; i < kWarp; ++i)
                if (mask >> i & 1) make_ready(first + i);
        }
        Fiber::stop();
    }

    [[noreturn]] void fail(const std::string& what) {
        fault_ = "block " + std::to_string(blockIdx.x) + ": " + what;
        Fiber::stop();
        std::abort();  // a failed one is never resumed
    }

  private:
    void make_ready(unsigned thread) {
        threads_[thread].state = State::ready;
        ready_.push_back(thread);
    }

    void run_block(unsigned block) {
        blockIdx = {block, 0, 0};
        shared_.clear();
        const auto threads = static_cast<unsigned>(threads_.size());
        ready_.clear();
        for (unsigned i = 0; i < threads; ++i) make_ready(i);
        while (count(State::done) < threads) {
            while (!ready_.empty()) {
                const size_t next = random_() % ready_.size();
                const unsigned thread = std::exchange(ready_[next], ready_.back());
                ready_.pop_back();
                threadIdx = {thread, 0, 0};
                fibers_[thread]->resume();
                if (!fault_.empty()) abandon();
            }
            if (count(State::done) < threads) pass_barrier();
        }
    }

    unsigned count(State state) const {
        return static_cast<unsigned>(std::count_if(
            threads_.begin(), threads_.end(), [=](const Thread& t) { return t.state == state; }));
    }

    // Nothing can run: all must stand at one barrier.
    void pass_barrier() {
        const bool all = std::all_of(threads_.begin(), threads_.end(), [&](const Thread& t) {
            return t.state == State::at_barrier && t.line == threads_[0].line;
        });
        if (!all) {
            fault_ = "block " + std::to_string(blockIdx.x) + ": deadlock: of " +
                     std::to_string(threads_.size()) + " threads";
            std::map<std::pair<State, int>, unsigned> where;
            for (const Thread& t : threads_)
                ++where[{t.state, t.state == State::done ? 0 : t.line}];
            for (const auto& [place, n] : where) {
                const auto [state, line] = place;
                fault_ += ", " + std::to_string(n);
                if (state == State::done)
                    fault_ += " returned";
                else
                    fault_ += (state == State::at_barrier ? " wait at the barrier of line "
                                                          : " wait for their warp at line ") +
                              std::to_string(line);
            }
            abandon();
        }
        for (unsigned i = 0; i < threads_.size(); ++i) make_ready(i);
    }

    // Fibers that stopped in their midst are of no more use.
    [[noreturn]] void abandon() {
        fibers_.clear();
        throw std::runtime_error(std::exchange(fault_, ""));
    }

    std::function<void()> body_;
    const std::function<void(unsigned)> enter_ = [this](unsigned thread) {
        body_();
        threads_[thread].state = State::done;
    };
    std::vector<std::unique_ptr<Fiber>> fibers_;
    std::vector<Thread> threads_;
    std::vector<unsigned> ready_;
    std::set<void*> shared_;  // memory of this block
    std::mt19937_64 random_;
    std::string fault_;
};

Grid grid;
uint64_t seed = 0;
int major = 8, multiprocessors = 1, current_device = 0;
constexpr int kDevices = 2;
cudaError_t last_error = cudaSuccess;
std::string fault;
std::string history;  // of what was done, a line each

// What a stream has still to do: nothing is done before somebody waits for it.
std::deque<std::function<void()>> work;

void note(const std::string& what) {
    history += what + " on " + std::to_string(current_device) + "\n";
}

cudaError_t fail_call(cudaError_t error) { return last_error = error; }

}  // namespace

void fail(const std::string& what) { grid.fail(what); }

void meet(int line, unsigned mask, void* mine, void (*exchange)(void* const*)) {
    grid.meet(line, mask, mine, exchange);
}

void share(void* first, size_t size) { grid.share(first, size); }

void enqueue(const char* kernel, unsigned blocks, unsigned threads, std::function<void()> thread) {
    if (blocks == 0 || blocks > 0x7fffffffU || threads == 0 || threads > kMostThreads) {
        fail_call(cudaErrorInvalidConfiguration);
        return;
    }
    note(kernel);
    work.push_back([=] {
        const Access access;
        grid.run(blocks, threads, thread, seed);
    });
}

}  // namespace cuda_on_cpu

using namespace cuda_on_cpu;

void __syncthreads(int line) { grid.barrier(line); }

cudaError_t cudaGetDeviceCount(int* count) {
    *count = kDevices;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
    *device = current_device;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
    if (device < 0 || device >= kDevices) return fail_call(cudaErrorInvalidDevice);
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr name, int device) {
    if (device < 0 || device >= kDevices) return fail_call(cudaErrorInvalidDevice);
    *value = name == cudaDevAttrMultiProcessorCount ? multiprocessors : major;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
    note(kind == cudaMemcpyHostToDevice   ? "copy there"
         : kind == cudaMemcpyDeviceToHost ? "copy back"
                                          : "copy on device");
    work.push_back([=] {
        const Access access;
        std::memcpy(to, from, bytes);
    });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
    note("fill");
    work.push_back([=] {
        const Access access;
        std::memset(to, value, bytes);
    });
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) {
    note("wait");
    while (!work.empty()) {
        const auto next = std::move(work.front());
        work.pop_front();
        try {
            next();
        } catch (const std::runtime_error& error) {
            work.clear();  // as on CUDA, nothing runs after a fault
            fault = error.what();
            return fail_call(cudaErrorLaunchFailure);
        }
    }
    return cudaSuccess;
}

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

const char* cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaSuccess:
            return "no error";
        case cudaErrorInvalidConfiguration:
            return "invalid configuration argument";
        case cudaErrorInvalidDevice:
            return "invalid device ordinal";
        case cudaErrorLaunchFailure:
            return fault.c_str();
    }
    std::abort();
}

// What the tests call, by ctypes.
#define EXPORT extern "C" [[gnu::visibility("default")]]

EXPORT void device_set(int compute_capability, int processors, uint64_t shuffle) {
    major = compute_capability, multiprocessors = processors, seed = shuffle;
}

EXPORT void device_mutant(int number) { mutant = number; }

// Exactly so many bytes, `skip` bytes behind a multiple of 256.
EXPORT void* device_allocate(size_t bytes, size_t skip) {
    void* first = nullptr;
    if (posix_memalign(&first, 256, skip + bytes) != 0) return nullptr;
    std::memset(first, 0xFF, skip + bytes);
    memory[first] = skip + bytes;
    if (__asan_poison_memory_region) __asan_poison_memory_region(first, skip + bytes);
    return static_cast<char*>(first) + skip;
}

// After all that was launched before.
EXPORT void device_free(void* data, size_t skip) {
    work.push_back([first = static_cast<char*>(data) - skip] {
        if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(first, memory.at(first));
        memory.erase(first);
        std::free(first);
    });
}

// Waits, then copies. What went wrong, or null.
EXPORT const char* device_copy(void* to, const void* from, size_t bytes) {
    const cudaError_t error = cudaStreamSynchronize(nullptr);
    if (error != cudaSuccess) return cudaGetErrorString(cudaGetLastError());
    const Access access;
    std::memcpy(to, from, bytes);
    return nullptr;
}

// What was done since the last call.
EXPORT const char* device_history() {
    static std::string told;
    told = std::exchange(history, "");
    return told.c_str();
}
