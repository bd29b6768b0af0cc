# cmake -D INCLUDE=<include folder> -P header_tiers.cmake
#
# The folders are tiers: a header includes its own folder or lower ones, Eigen and the C++20 standard library, and no
# two include each other. What a folder offers is in its umbrella. A new header needs no line here, nor does a folder's
# detail/: higher folders may include it, umbrellas may not.

cmake_minimum_required(VERSION 3.25)

set(tiers core kernel data statistics solve metrics training profile)
set(longest 400)  # lines of a header

# The C++20 standard library, without the C headers' .h names.
set(standard
    algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono cinttypes
    climits clocale cmath compare complex concepts condition_variable coroutine csetjmp csignal cstdarg cstddef cstdint
    cstdio cstdlib cstring ctime cuchar cwchar cwctype deque exception execution filesystem format forward_list
    fstream functional future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list locale
    map memory memory_resource mutex new numbers numeric optional ostream queue random ranges ratio regex
    scoped_allocator semaphore set shared_mutex source_location span sstream stack stdexcept stop_token streambuf
    string string_view strstream syncstream system_error thread tuple type_traits typeindex typeinfo unordered_map
    unordered_set utility valarray variant vector version)

set(faults 0)
function(fault header text)
  message("${header}: ${text}")
  math(EXPR faults "${faults} + 1")
  set(faults ${faults} PARENT_SCOPE)
endfunction()

# Who may include what. includes_<header>: the headers of layerwise that it includes.
set(checked 0)
file(GLOB_RECURSE headers RELATIVE "${INCLUDE}/layerwise" "${INCLUDE}/layerwise/*")
foreach(header IN LISTS headers)
  string(REGEX MATCH "^[a-z]+" folder "${header}")  # of metrics.hpp, too
  list(FIND tiers ${folder} tier)
  if(tier EQUAL -1 AND NOT folder MATCHES "^(interop|layerwise)$")
    fault(${header} "is in no folder of header_tiers.cmake")
  endif()
  file(STRINGS "${INCLUDE}/layerwise/${header}" lines REGEX "^[ \t]*#[ \t]*include")
  foreach(line IN LISTS lines)
    math(EXPR checked "${checked} + 1")
    if(line MATCHES "<layerwise/(([a-z]+)[a-z0-9_/]*\\.hpp)>")
      list(FIND tiers ${CMAKE_MATCH_2} included)
      list(APPEND includes_${header} ${CMAKE_MATCH_1})
      if(NOT CMAKE_MATCH_1 IN_LIST headers)
        fault(${header} "includes ${CMAKE_MATCH_1}, which does not exist")
      elseif(tier GREATER_EQUAL 0 AND (included GREATER tier OR included EQUAL -1))
        fault(${header} "includes ${CMAKE_MATCH_1}, which is above ${folder}")
      endif()
    elseif(NOT (folder STREQUAL "interop" OR line MATCHES "<Eigen/[A-Za-z]+>"
                OR (line MATCHES "<([a-z_]+)>" AND CMAKE_MATCH_1 IN_LIST standard)
                OR (line MATCHES "<(omp|unistd)\\.h>" AND header STREQUAL "kernel/parallel.hpp")))
      fault(${header} "includes what the core may not: ${line}")
    endif()
  endforeach()
  file(READ "${INCLUDE}/layerwise/${header}" text)
  string(REGEX MATCHALL "\n" lines "${text}")
  list(LENGTH lines lines)
  if(lines GREATER longest)
    fault(${header} "has ${lines} lines, more than ${longest}")
  endif()
endforeach()

# An umbrella includes all that is beside its folder's detail/, and layerwise.hpp every umbrella: no more, no less.
# offers(<umbrella> <header>...)
function(offers umbrella)
  set(missing ${ARGN})
  list(REMOVE_ITEM missing ${includes_${umbrella}} "")
  set(too_many ${includes_${umbrella}})
  list(REMOVE_ITEM too_many ${ARGN} "")
  foreach(header IN LISTS missing)
    fault(${umbrella} "does not include ${header}")
  endforeach()
  foreach(header IN LISTS too_many)
    fault(${umbrella} "includes ${header}")
  endforeach()
  file(STRINGS "${INCLUDE}/layerwise/${umbrella}" code REGEX "^[^#/]")
  if(code)
    fault(${umbrella} "has more than includes: ${code}")
  endif()
  set(faults ${faults} PARENT_SCOPE)
endfunction()
set(umbrellas)
foreach(folder IN LISTS tiers)
  set(offered ${headers})
  list(FILTER offered INCLUDE REGEX "^${folder}/[a-z0-9_]+\\.hpp$")
  if(offered AND NOT folder STREQUAL "kernel")  # which is for the other folders
    offers(${folder}.hpp ${offered})
    list(APPEND umbrellas ${folder}.hpp)
  endif()
endforeach()
offers(layerwise.hpp ${umbrellas})

# No cycles: again and again without the headers that include none of the others, until there are none.
set(others ${headers})
set(removed TRUE)
while(removed)
  set(removed FALSE)
  foreach(header IN LISTS others)
    set(waits_for ${includes_${header}} none)
    list(REMOVE_ITEM waits_for ${gone} none)
    if(NOT waits_for)
      list(APPEND gone ${header})
      list(REMOVE_ITEM others ${header})
      set(removed TRUE)
    endif()
  endforeach()
endwhile()
foreach(header IN LISTS others)
  fault(${header} "includes itself, by way of ${includes_${header}}")
endforeach()

if(faults GREATER 0)
  message(FATAL_ERROR "${faults} faults")
endif()
message("${checked} includes checked")
