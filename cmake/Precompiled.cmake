# Headers that are not ours and that most files read, parsed once: half of the time of an ordinary file is theirs. Ours stay out, so that a
# change to one of them rebuilds no more than it must. Files include what they use all the same (-DMILLRACE_NO_PRECOMPILED=ON shows it).
#
# millrace_precompile(target [TEST]): the target's files begin with them; with TEST, with those of the tests too.
set(precompiled_headers
    <algorithm> <array> <atomic> <charconv> <chrono> <coroutine> <cstdint> <cstdio> <cstring> <deque> <expected> <filesystem> <fstream>
    <functional> <map> <memory> <mutex> <optional> <set> <span> <sstream> <string> <string_view> <thread> <tuple> <unordered_map> <utility>
    <variant> <vector>
    <boost/asio/any_io_executor.hpp> <boost/asio/awaitable.hpp> <boost/asio/co_spawn.hpp> <boost/asio/io_context.hpp>
    <boost/asio/post.hpp> <boost/asio/steady_timer.hpp> <boost/asio/this_coro.hpp> <boost/asio/use_awaitable.hpp>
    <google/protobuf/descriptor.pb.h> <google/protobuf/generated_message_reflection.h> <google/protobuf/map.h>
    <google/protobuf/map_entry.h> <google/protobuf/map_field.h> <google/protobuf/message.h> <google/protobuf/repeated_field.h>
    <google/protobuf/timestamp.pb.h> <google/protobuf/unknown_field_set.h>)

function(millrace_precompile target)
  if(MILLRACE_NO_PRECOMPILED)
    return()
  endif()
  cmake_parse_arguments(ARG "TEST" "" "" ${ARGN})
  set(name precompiled)
  if(ARG_TEST)
    set(name precompiled_test)
  endif()
  # Not REUSE_FROM: the compiler cache makes this option's path relative, and CMake's own spelling of it stays absolute.
  set(pch ${CMAKE_BINARY_DIR}/CMakeFiles/${name}.dir/cmake_pch.hxx.pch)
  target_compile_options(${target} PRIVATE "SHELL:-include-pch ${pch}")
  # A dependency on the target orders links, not compilations: each file waits for this one.
  get_target_property(sources ${target} SOURCES)
  set_property(SOURCE ${sources} APPEND PROPERTY OBJECT_DEPENDS ${pch})
  add_dependencies(${target} ${name} ${name}_sum)
endfunction()

if(NOT MILLRACE_NO_PRECOMPILED)
  # What they are made for shows in the flags: position-independent code for libraries, executables and no optimization for tests.
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/precompiled.cpp CONTENT "")
  foreach(name precompiled precompiled_test)
    add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/generated/precompiled.cpp)
    target_precompile_headers(${name} PRIVATE ${precompiled_headers})
    # Holds absolute paths, so it is of one build folder; the objects made with it are cached by the checksum of the text beside it.
    set_target_properties(${name} PROPERTIES CXX_COMPILER_LAUNCHER "")
    target_compile_options(${name} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
    set(text ${CMAKE_BINARY_DIR}/CMakeFiles/${name}.dir/cmake_pch.hxx)
    add_custom_command(
      OUTPUT ${text}.pch.sum
      COMMAND sh -c "${CMAKE_CXX_COMPILER} -std=c++2b -pthread -w -E -P -MD -MF ${text}.pch.sum.d -MT ${text}.pch.sum -x c++-header ${text} | sha256sum >${text}.pch.sum"
      DEPFILE ${text}.pch.sum.d
      VERBATIM)
    add_custom_target(${name}_sum DEPENDS ${text}.pch.sum)
  endforeach()
  target_precompile_headers(precompiled_test PRIVATE <gtest/gtest.h>)
  set_target_properties(precompiled_test PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(precompiled_test PRIVATE -fPIE -O0)
  target_link_libraries(precompiled_test PRIVATE GTest::gtest)
endif()
