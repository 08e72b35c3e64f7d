# Compiler flags of every target. No fast-math: a NaN must stay a NaN. Without trapping math a loop
# with conditions in it becomes vectors; no value changes, and nobody reads the exception flags.
function(sslmot_flags target)
  set(cxx -fopenmp-simd -fno-trapping-math -Wall -Wextra -Wconversion -Wshadow)
  set(cuda "")
  if(STRICT)
    list(APPEND cxx -Werror)
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
