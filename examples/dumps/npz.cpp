#include "dumps/npz.hpp"

#include "common/input_error.hpp"
#include "common/memory_limit.hpp"
#include "dumps/foreign_file.hpp"
#include "dumps/npy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string_view>

#ifdef LAYERWISE_HAS_LIBZIP
#include <zip.h>
#endif

namespace examples::dumps {
namespace {

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

}  // namespace

bool is_zip(std::span<const std::byte> file) {
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  using namespace std::literals;
  return bytes.starts_with("PK\x03\x04"sv) || bytes.starts_with("PK\x05\x06"sv);
}

#ifndef LAYERWISE_HAS_LIBZIP

tensor_file parse_npz(const std::string& path, std::span<const std::byte>) {
  reject(path,
         "expected a .safetensors or .npy file, got a zip archive (.npz, .pt), which this build, made without "
         "libzip, does not read: for .npz, unzip {} -d new, then layerwise-profile new",
         file_name(path));
}

#else

namespace {

struct close_archive {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
struct close_member {
  void operator()(zip_file_t* member) const { zip_fclose(member); }
};

/// The archive of bytes that outlive it.
std::unique_ptr<zip_t, close_archive> open_archive(const std::string& path, std::span<const std::byte> file) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* const source = zip_source_buffer_create(file.data(), file.size(), 0, &error);
  zip_t* const archive = source == nullptr ? nullptr : zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
  if (archive == nullptr) {
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    if (source != nullptr) zip_source_free(source);
    reject(path, "expected a zip archive (.npz), got a damaged one: {}", reason);
  }
  zip_error_fini(&error);
  return std::unique_ptr<zip_t, close_archive>(archive);
}

/// All bytes of a member, its checksum compared.
std::vector<std::byte> read_member(const std::string& where, zip_t* archive, const zip_stat_t& about) {
  const std::unique_ptr<zip_file_t, close_member> member(zip_fopen_index(archive, about.index, 0));
  if (!member) reject(where, "can't be read: {}", zip_strerror(archive));
  std::vector<std::byte> bytes(about.size);
  for (std::size_t done = 0; done < bytes.size();) {
    const auto count = zip_fread(member.get(), bytes.data() + done, bytes.size() - done);
    if (count <= 0) reject(where, "can't be read: {}", count == 0 ? "truncated?" : zip_file_strerror(member.get()));
    done += static_cast<std::size_t>(count);
  }
  std::byte end;
  if (zip_fread(member.get(), &end, 1) < 0) reject(where, "can't be read: {}", zip_file_strerror(member.get()));
  return bytes;
}

/// What is known of a member without reading it.
zip_stat_t about_member(const std::string& path, zip_t* archive, zip_uint64_t number) {
  zip_stat_t about;
  zip_stat_init(&about);
  if (zip_stat_index(archive, number, 0, &about) != 0) reject(path, "member {}: {}", number, zip_strerror(archive));
  constexpr zip_uint64_t wanted = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_COMP_SIZE;
  if ((about.valid & wanted) != wanted) reject(path, "member {}: expected a name and a size", number);
  const std::string_view name = about.name;
  if (name.ends_with("/data.pkl") || name == "data.pkl")
    reject(path, "expected a .safetensors, .npy or .npz file, got what torch.save writes (.pt): {}",
           torch_remedy(path));
  return about;
}

/// Refuses an array that is compressed, or that says that it is larger than its archive.
void check_array(const std::string& path, const std::string& where, const zip_stat_t& about, std::size_t archive) {
  if (about.comp_method != ZIP_CM_STORE)
    reject(path,
           "expected an archive of np.savez, got a compressed one: in Python: "
           "np.savez(\"new.npz\", **np.load(\"{}\"))",
           file_name(path));
  if (about.size != about.comp_size || about.size > archive)
    reject(where, "expected at most the archive's {} bytes, got {}", archive, about.size);
}

void check_memory(const std::string& path, double bytes) {
  if (const auto limit = available_memory(); bytes > limit.bytes)
    reject(path,
           "expected arrays that fit the {:.3g} GiB {}, got more than {:.3g} GiB: unzip {} -d new, then "
           "layerwise-profile new, which maps the files",
           limit.bytes / 0x1p30, limit.set_by, bytes / 0x1p30, file_name(path));
}

}  // namespace

tensor_file parse_npz(const std::string& path, std::span<const std::byte> file) {
  const auto archive = open_archive(path, file);
  tensor_file result{path, file_format::npz, {}, {}, nullptr, {}, {}};
  double total = 0;  // bytes in memory
  const auto count = static_cast<zip_uint64_t>(std::max<zip_int64_t>(zip_get_num_entries(archive.get(), 0), 0));
  for (zip_uint64_t i = 0; i < count; ++i) {
    const auto about = about_member(path, archive.get(), i);
    const std::string_view member = about.name;
    if (!member.ends_with(".npy")) continue;
    const auto where = fmt::format("{}: {}", path, member);
    check_array(path, where, about, file.size());
    check_memory(path, total += static_cast<double>(about.size));
    auto bytes = std::make_shared<const std::vector<std::byte>>(read_member(where, archive.get(), about));
    if (is_npy(*bytes) && !holds_numbers(where, *bytes)) continue;
    auto array = parse_npy(where, *bytes);
    array.tensors.front().name = member.substr(0, member.size() - 4);
    result.tensors.push_back(std::move(array.tensors.front()));
    result.members.push_back(std::move(bytes));
    if (!array.remark.empty()) result.remark = array.remark;
  }
  return result;
}

#endif

}  // namespace examples::dumps
