// The page of profiles as text; tests/examples/report/page_in_browser.py looks at it in a browser.

#include "report/page.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <string>

namespace examples::report {
namespace {

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

/// What the page's script element of JSON holds, up to the first thing that ends it.
std::string data_of(const std::string& page) {
  const std::string begin = "<script type=\"application/json\" id=\"profiles\">";
  REQUIRE(count_of(page, begin) == 1);
  const auto from = page.find(begin) + begin.size();
  return page.substr(from, page.find("</script", from) - from);
}

}  // namespace

TEST_CASE("profiles stand in the page once, as they came") {
  const std::string a = R"({"title": "first-run", "layers": [{"layer": 1, "displacement": null}]})",
                    b = R"({"title": 2})";
  const auto page = to_html("a window", {a, b});
  CHECK(nlohmann::json::parse(data_of(page)) ==
        nlohmann::json::array({nlohmann::json::parse(a), nlohmann::json::parse(b)}));
  CHECK(count_of(page, "first-run") == 1);
  CHECK(count_of(page, "<title>a window</title>") == 1);
  CHECK(nlohmann::json::parse(data_of(to_html("", {}))) == nlohmann::json::array());
}

TEST_CASE("no name in a profile ends the script, opens an element or breaks a line") {
  for (const std::string name : {"</script><script>alert(1)</script>", "<!-- <script>", "a\xe2\x80\xa8 b\xe2\x80\xa9",
                                 "\"'`${x}\\ &amp; ]]>", "{{title}}{{profiles}}", "\xe2\x80\xa7\xe2\x80", "\xe2"}) {
    CAPTURE(name);
    // The dump of a text that ends inside a character would throw: these come as to_json() would not write them.
    const bool complete = name.size() > 5;
    const auto text = complete ? nlohmann::json{{"title", name}}.dump() : "{\"title\": \"" + name + "\"}";
    const auto page = to_html(name, {text});
    const auto data = data_of(page);
    if (complete) CHECK(nlohmann::json::parse(data)[0]["title"] == name);
    if (!complete) CHECK(data == "[\n" + text + "]");
    for (const auto* part : {"<", ">", "&", "\xe2\x80\xa8", "\xe2\x80\xa9"}) CHECK(count_of(data, part) == 0);
    CHECK(count_of(page, "<script") == 2);
    CHECK(count_of(page, "</script") == 2);
    const auto title = page.substr(page.find("<title>") + 7, page.find("</title>") - page.find("<title>") - 7);
    CHECK(count_of(title, "<") == 0);
  }
}

TEST_CASE("a page is whole, and fetches nothing") {
  const auto page = to_html("t", {"{}"});
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(page.ends_with("</html>\n"));
  for (const auto* part :
       {"@STYLE@", "@SCRIPT@", "{{", "src=", "url(", "@import", "fetch(", "import(", "XMLHttpRequest"})
    CHECK(count_of(page, part) == 0);
  CHECK(count_of(page, "default-src 'none'") == 1);
  CHECK(count_of(page, "<link") == 1);  // of an empty icon
  for (const auto* part : {"prefers-color-scheme: dark", "@media print", "<meta name=\"viewport\"", "function show("})
    CHECK(count_of(page, part) == 1);
}

}  // namespace examples::report
