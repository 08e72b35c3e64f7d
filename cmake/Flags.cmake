# Compiler flags of every target. No fast-math: a NaN must stay a NaN. Without trapping math a loop
# with conditions in it becomes vectors; no value changes, and the exception flags are never read.
# csrc/crop_cpu.cpp has vectors of g++ and clang; clang-cl takes the options of Visual Studio.
if(MSVC AND NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR "compiler: expected g++, clang or clang-cl, got ${CMAKE_CXX_COMPILER_ID}")
endif()

function(sslmot_flags target)
  if(MSVC)
    set(cxx /clang:-fopenmp-simd /W4 /EHsc)
    set(strict /WX)
  else()
    set(cxx -fopenmp-simd -fno-trapping-math -Wall -Wextra -Wconversion -Wshadow)
    set(strict -Werror)
    # A loop that clang cannot make vectors of is no fault.
    list(APPEND cxx $<$<CXX_COMPILER_ID:Clang,AppleClang>:-Wno-pass-failed>)
  endif()
  set(cuda "")
  if(STRICT)
    list(APPEND cxx ${strict})
    set(cuda -Werror=all-warnings)
  endif()
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:${cxx}> $<$<COMPILE_LANGUAGE:CUDA>:${cuda}>)
  if(SANITIZE)
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g>)
    # The loader picks between clones before a sanitizer's run time is up.
    target_compile_definitions(${target} PRIVATE SSLMOT_ONE_CLONE)
    target_link_options(${target} PRIVATE -fsanitize=${SANITIZE})
  endif()
endfunction()
