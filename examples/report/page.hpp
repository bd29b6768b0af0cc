#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace examples::report {

/// The most profiles that a page tells apart by colour and mark.
inline constexpr std::size_t page_most = 8;

/// A page of profiles side by side: one HTML file that fetches nothing. `profiles` are JSON as to_json() writes it, UTF-8;
/// they stand in the page once, as they are but for the escapes that HTML makes necessary, and the page's script draws
/// them. page/ has what it is made of. `title` is that of the window.
std::string to_html(std::string_view title, const std::vector<std::string>& profiles);

}  // namespace examples::report
