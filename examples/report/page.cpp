#include "report/page.hpp"

#include "page_template.hpp"  // made of page/ by CMake

namespace examples::report {
namespace {

/// As text of an element.
std::string html_text(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '&')
      result += "&amp;";
    else
      result += c;
  }
  return result;
}

/// JSON as the content of a script element: no "</script>" or "<!--" ends it, and no old reader takes U+2028 or U+2029 for
/// an end of line. All of these stand in JSON's strings only, which know \u escapes.
std::string script_json(std::string_view json) {
  std::string result;
  result.reserve(json.size());
  for (std::size_t i = 0; i < json.size(); ++i) {
    const auto rest = json.substr(i);
    if (rest.starts_with('<')) {
      result += "\\u003c";
    } else if (rest.starts_with('>')) {
      result += "\\u003e";
    } else if (rest.starts_with('&')) {
      result += "\\u0026";
    } else if (rest.starts_with("\xe2\x80\xa8") || rest.starts_with("\xe2\x80\xa9")) {
      result += json[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      result += json[i];
    }
  }
  return result;
}

}  // namespace

std::string to_html(std::string_view title, const std::vector<std::string>& profiles) {
  std::string data = "[";
  for (const auto& profile : profiles) data += (data.size() > 1 ? ",\n" : "\n") + script_json(profile);
  return std::string(page_head) + html_text(title) + std::string(page_body) + data + "]" + std::string(page_end);
}

}  // namespace examples::report
