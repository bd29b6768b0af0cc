#include "dumps/foreign_file.hpp"

#include "common/input_error.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <string_view>

namespace examples::dumps {
namespace {

/// The file's name without the extension of its compression, for the remedy to be typed as it is.
std::string unpacked(const std::string& path) {
  return std::filesystem::path(path).filename().replace_extension().string();
}

}  // namespace

std::string torch_remedy(const std::string& path) {
  return fmt::format(
      "convert it, in Python: from safetensors.torch import save_file; h = torch.load(\"{}\", weights_only=False); h = "
      "h.get(\"hidden_states\", list(h.values())) if hasattr(h, \"get\") else h; "
      "save_file({{\"hidden_states\": torch.stack(list(h))}}, \"new.safetensors\")",
      std::filesystem::path(path).filename().string());
}

void reject_foreign(const std::string& path, std::span<const std::byte> file) {
  using namespace std::literals;
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  const auto name = std::filesystem::path(path).filename().string();
  constexpr auto expected = "expected a .safetensors, .npy or .npz file";
  if (bytes.starts_with("GGUF"))
    reject(path,
           "{}, got a GGUF file, which holds a model's weights, not its hidden states: run the model first, "
           "with "
           "examples/python/dump_hidden_states.py {} TEXT new.safetensors",
           expected, name);
  if (bytes.starts_with("\x89HDF\r\n"))
    reject(path, "{}, got HDF5: convert it, in Python: np.save(\"new.npy\", h5py.File(\"{}\")[\"DATASET\"])", expected,
           name);
  if (bytes.starts_with("\x28\xb5\x2f\xfd")) reject(path, "{}, got one compressed by zstd: zstd -d {}", expected, name);
  if (bytes.starts_with("\x1f\x8b")) reject(path, "{}, got one compressed by gzip: gunzip {}", expected, name);
  if (bytes.starts_with("\xfd"
                        "7zXZ"))
    reject(path, "{}, got one compressed by xz: unxz {}, then {}", expected, name, unpacked(path));
  if (bytes.starts_with("BZh")) reject(path, "{}, got one compressed by bzip2: bunzip2 {}", expected, name);
  // Pickle protocols 2 to 5: what torch.save wrote before 1.6, and pickle.dump of anything.
  if (bytes.size() > 2 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5 &&
      (bytes[2] == '\x8a' || bytes[2] == '}' || bytes[2] == ']' || bytes[2] == '\x95' || bytes[2] == 'c'))
    reject(path, "{}, got a Python pickle (.pt, .pkl): {}", expected, torch_remedy(path));
}

}  // namespace examples::dumps
