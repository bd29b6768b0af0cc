#include "support.hpp"

#include <doctest/doctest.h>

#include <exception>
#include <string>
#include <typeinfo>

namespace layerwise_test {
namespace {

/// The text of what the call throws, checked to be of this type.
std::string thrown(const any_call& call, const std::type_info& type) {
  try {
    call.run(call.call);
  } catch (const std::exception& e) {
    const bool has_type = typeid(e) == type;
    if (!has_type) FAIL_CHECK("another exception was thrown: ", std::string(e.what()));
    return e.what();
  }
  FAIL_CHECK("nothing was thrown");
  return {};
}

}  // namespace

void check_message(const any_call& call, const std::type_info& type, const std::string& message) {
  CAPTURE(message);
  CHECK(thrown(call, type) == message);
}

void check_refusal(const any_call& call, const std::type_info& type, const std::string& part) {
  const std::string text = thrown(call, type);
  CAPTURE(text);
  CHECK(text.find(part) != std::string::npos);
}

}  // namespace layerwise_test
