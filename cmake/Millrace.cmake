# millrace_library(name SRCS a.cpp … DEPS target … TESTS a_test.cpp …)
#   A static library whose edges to other libraries are its DEPS; scripts/check compares them with the layers.
#   TESTS make one gtest binary, <name>_test, labelled "unit", or "integration" when INTEGRATION is given.
function(millrace_library name)
  cmake_parse_arguments(ARG "INTEGRATION" "" "SRCS;DEPS;TESTS;TEST_DEPS" ${ARGN})
  string(REPLACE "::" "_" target "${name}")
  if(ARG_SRCS)
    add_library(${target} STATIC ${ARG_SRCS})
    target_link_libraries(${target} PUBLIC ${ARG_DEPS})
    target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
    millrace_precompile(${target})
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${ARG_DEPS})
    target_include_directories(${target} INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
  endif()
  if(ARG_TESTS)
    millrace_test(${target}_test SRCS ${ARG_TESTS} DEPS ${target} ${ARG_TEST_DEPS})
    if(ARG_INTEGRATION)
      set_property(GLOBAL APPEND PROPERTY MILLRACE_INTEGRATION_TESTS ${target}_test)
    endif()
  endif()
endfunction()

# millrace_test(name [INTEGRATION] SRCS … DEPS …): one gtest binary = one ctest test.
function(millrace_test name)
  cmake_parse_arguments(ARG "INTEGRATION" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock_main GTest::gtest)
  # What is tested keeps its optimization; optimizing the tests themselves only costs build time.
  target_compile_options(${name} PRIVATE -O0)
  millrace_precompile(${name} TEST)
  add_test(NAME ${name} COMMAND ${name} --gtest_color=no WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(ARG_INTEGRATION)
    set_tests_properties(${name} PROPERTIES LABELS integration)
  else()
    set_tests_properties(${name} PROPERTIES LABELS unit)
  endif()
endfunction()

# millrace_embed(target symbol files…): the files' bytes, in the binary, as symbol(name) -> string_view.
function(millrace_embed target symbol)
  set(out ${CMAKE_BINARY_DIR}/generated/embed/${symbol}.cpp)
  add_custom_command(
    OUTPUT ${out}
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/cmake/embed.py ${symbol} ${out} ${ARGN}
    DEPENDS ${ARGN} ${CMAKE_SOURCE_DIR}/cmake/embed.py
    VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()
