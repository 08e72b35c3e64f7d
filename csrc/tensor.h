// Checked views of arrays: NumPy arrays directly, anything else on the CPU or on CUDA over DLPack.
// A view must outlive all reads of its data: an exporter may have made a copy for it.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dlpack.h"

namespace sslmot {

namespace py = pybind11;

class Tensor {
  public:
    // Throws ValueError that names the argument if `object` is no array.
    Tensor(const py::object& object, const char* name) : name_(name) {
        if (py::isinstance<py::array>(object))
            view_numpy(py::reinterpret_borrow<py::array>(object));
        else
            view_dlpack(object);
    }

    // Check dtype and shape, and that elements are contiguous. A negative number in `expected`
    // stands for any size. `first_stride_free`: there may be gaps between rows (a view of a larger
    // image).
    const Tensor& expect(const char* dtype, const std::vector<int64_t>& expected,
                         bool first_stride_free = false) const {
        bool fits = dtype_ == dtype && shape_.size() == expected.size();
        for (size_t k = 0; fits && k < expected.size(); ++k)
            fits = expected[k] < 0 || shape_[k] == expected[k];
        if (!fits) fail(std::string(dtype) + " " + text(expected));
        if (reinterpret_cast<uintptr_t>(data_) % item_size_ != 0) fail("an aligned array");
        int64_t step = 1;
        for (size_t k = shape_.size(); k-- > 0; step *= shape_[k]) {
            const bool free = first_stride_free && k == 0 && strides_[0] >= step;
            if (size() > 0 && shape_[k] > 1 && strides_[k] != step && !free)
                fail("contiguous " + std::string(dtype) + " " + text(expected));
        }
        return *this;
    }

    const Tensor& expect_writable() const {
        if (!writable_) fail("a writable array");
        return *this;
    }

    const Tensor& expect_on_cpu() const {
        if (cuda()) fail("an array on the CPU");
        return *this;
    }

    const Tensor& expect_with(const Tensor& other) const {
        if (cuda() != other.cuda() || device_id_ != other.device_id_)
            fail("an array on " + other.device() + ", where " + other.name_ + " is");
        return *this;
    }

    [[noreturn]] void fail(const std::string& expected) const {
        throw py::value_error(name_ + ": expected " + expected + ", got " + dtype_ + " " +
                              text(shape_) + " on " + device());
    }

    template <class T>
    T* data() const {
        return static_cast<T*>(data_);
    }
    int64_t shape(size_t k) const { return shape_[k]; }
    int64_t stride(size_t k) const { return strides_[k]; }  // in elements
    int64_t size() const {
        int64_t n = 1;
        for (const int64_t s : shape_) n *= s;
        return n;
    }
    bool cuda() const { return cuda_; }
    int device_id() const { return device_id_; }
    const std::string& dtype() const { return dtype_; }
    const std::string& name() const { return name_; }
    std::string device() const {
        return cuda() ? "cuda:" + std::to_string(device_id_) : std::string("cpu");
    }

  private:
    static std::string text(const std::vector<int64_t>& shape) {
        std::string s = "(";
        for (size_t k = 0; k < shape.size(); ++k)
            s += (k ? ", " : "") + (shape[k] < 0 ? std::string("any") : std::to_string(shape[k]));
        return s + (shape.size() == 1 ? ",)" : ")");
    }

    static std::string dtype_name(char kind, int64_t bits) {
        switch (kind) {
            case 'f':
                return "float" + std::to_string(bits);
            case 'i':
                return "int" + std::to_string(bits);
            case 'u':
                return "uint" + std::to_string(bits);
            case 'b':
                return "bool";
            case 'B':
                return "bfloat" + std::to_string(bits);
            default:
                return "unsupported";
        }
    }

    static char kind_of(uint8_t code) {
        switch (code) {
            case kDLInt:
                return 'i';
            case kDLUInt:
                return 'u';
            case kDLFloat:
                return 'f';
            case kDLBfloat:
                return 'B';
            case kDLBool:
                return 'b';
            default:
                return '?';
        }
    }

    void view_numpy(const py::array& array) {
        dtype_ = array.dtype().byteorder() == '>'
                     ? "big-endian"
                     : dtype_name(array.dtype().kind(), 8 * array.itemsize());
        data_ = const_cast<void*>(array.data());
        item_size_ = static_cast<size_t>(std::max<py::ssize_t>(array.itemsize(), 1));
        writable_ = array.writeable();
        for (py::ssize_t k = 0; k < array.ndim(); ++k) {
            shape_.push_back(array.shape(k));
            // -1 for a stride that is no multiple of the element: never contiguous.
            const bool whole = array.itemsize() > 0 && array.strides(k) % array.itemsize() == 0;
            strides_.push_back(whole ? array.strides(k) / array.itemsize() : -1);
        }
        expect_size();
    }

    // Reject sizes whose product could overflow. An empty array may have any other sizes: they are
    // bounded too, as results are allocated by them.
    void expect_size() const {
        const bool empty = std::find(shape_.begin(), shape_.end(), 0) != shape_.end();
        const int64_t most = int64_t{1} << (empty ? 24 : 48);
        int64_t product = 1;
        for (const int64_t s : shape_) {
            if (s < 0 || s > most / product)
                fail(empty ? "fewer rows without numbers" : "an array that memory can hold");
            product *= std::max<int64_t>(s, 1);
        }
    }

    std::string no_array(const py::object& object) const {
        return name_ + ": expected an array (NumPy, or any with __dlpack__), got " +
               std::string(py::str(py::type::of(object).attr("__name__")));
    }

    // The capsule of an exporter, with a tensor in it. Any exception of a foreign object means that
    // it is no array.
    py::object capsule_of(const py::object& object) const {
        try {
            const auto place = object.attr("__dlpack_device__")().cast<std::pair<int, int>>();
            // -1: no synchronisation; the caller passes the stream.
            py::object capsule = place.first == kDLCUDA
                                     ? object.attr("__dlpack__")(py::arg("stream") = -1)
                                     : object.attr("__dlpack__")();
            if (PyCapsule_IsValid(capsule.ptr(), "dltensor")) return capsule;
        } catch (py::error_already_set& error) {
            if (!error.matches(PyExc_Exception) || error.matches(PyExc_MemoryError)) throw;
            const std::string cause = error.what();
            const std::string text =
                no_array(object) + " (" + cause.substr(0, cause.find('\n')) + ")";
            py::raise_from(error, PyExc_ValueError, text.c_str());
            throw py::error_already_set();
        } catch (const py::cast_error&) {  // a device that is no pair of numbers
        }
        throw py::value_error(no_array(object));
    }

    void view_dlpack(const py::object& object) {
        py::object capsule = capsule_of(object);
        const auto* managed =
            static_cast<const DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
        const DLTensor& t = managed->dl_tensor;
        if (t.device.device_type != kDLCPU && t.device.device_type != kDLCUDA &&
            t.device.device_type != kDLCUDAHost)
            throw py::value_error(name_ + ": expected an array on the CPU or on CUDA");
        if (t.ndim < 0 || t.ndim > 64 || (t.ndim > 0 && !t.shape))
            throw py::value_error(no_array(object));
        cuda_ = t.device.device_type == kDLCUDA;
        device_id_ = cuda_ ? t.device.device_id : 0;
        dtype_ = t.dtype.lanes == 1 ? dtype_name(kind_of(t.dtype.code), t.dtype.bits) : "vectors";
        data_ = static_cast<char*>(t.data) + t.byte_offset;
        item_size_ = static_cast<size_t>(std::max(t.dtype.bits / 8, 1));
        shape_.assign(t.shape, t.shape + t.ndim);
        expect_size();
        if (!t.data && size() > 0) throw py::value_error(no_array(object));
        strides_.resize(shape_.size());
        int64_t step = 1;
        for (size_t k = shape_.size(); k-- > 0; step *= shape_[k])
            strides_[k] = t.strides ? t.strides[k] : step;
        keep_ = std::move(capsule);  // not consumed: its destructor returns the memory to the owner
    }

    std::string name_;
    std::string dtype_;
    py::object keep_;
    void* data_ = nullptr;
    size_t item_size_ = 1;
    std::vector<int64_t> shape_, strides_;
    bool writable_ = true;
    bool cuda_ = false;
    int device_id_ = 0;
};

}  // namespace sslmot
