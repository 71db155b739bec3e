// SPDX-License-Identifier: Apache-2.0
#include "common/blob/blob.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "common/crypto/crypto.h"

namespace millrace::blob {
namespace {

constexpr size_t kHashLength = 64;

// Also keeps a caller's text from naming a path outside the folder.
bool IsHash(std::string_view text) {
  return text.size() == kHashLength && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Error DiskError(const std::string& what) {
  Error error(ErrorCode::kUnavailable);
  error.cause = what + ": " + std::strerror(errno);
  return error;
}

// Closes what it holds.
struct File {
  int fd;
  explicit File(int f) : fd(f) {}
  ~File() {
    if (fd >= 0) close(fd);
  }
  File(const File&) = delete;
};

Result<void> WriteAll(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Fail(DiskError("write " + path));
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Result<void> SyncFolder(const std::string& path) {
  File folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.fd < 0 || fsync(folder.fd) != 0) return Fail(DiskError("sync " + path));
  return {};
}

Result<std::string> PutHere(const std::string& root, const std::string& bytes) {
  std::string hash = crypto::Hex(crypto::Sha256(bytes));
  std::string folder = root + "/" + hash.substr(0, 2), path = folder + "/" + hash;
  struct stat found;
  // A file under its final name is whole, so its size suffices.
  if (stat(path.c_str(), &found) == 0 && static_cast<size_t>(found.st_size) == bytes.size()) return hash;
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) {
    errno = failed.value();
    return Fail(DiskError("make " + folder));
  }
  std::string aside = folder + "/.new-" + Uuid::New().Hex();
  {
    File file(open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
    if (file.fd < 0) return Fail(DiskError("create " + aside));
    Result<void> written = WriteAll(file.fd, bytes, aside);
    if (written && fsync(file.fd) != 0) written = Fail(DiskError("sync " + aside));
    if (!written) {
      unlink(aside.c_str());
      return Fail(std::move(written).error());
    }
  }
  if (rename(aside.c_str(), path.c_str()) != 0) {
    Error error = DiskError("rename " + aside);
    unlink(aside.c_str());
    return Fail(std::move(error));
  }
  // The names must survive a power cut too: the file's in its folder, and the folder's in the root.
  MILLRACE_CHECK(SyncFolder(folder));
  MILLRACE_CHECK(SyncFolder(root));
  return hash;
}

Result<std::string> GetHere(const std::string& root, const std::string& hash) {
  if (!IsHash(hash)) return Fail(ErrorCode::kNotFound);
  std::string path = root + "/" + hash.substr(0, 2) + "/" + hash;
  File file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) {
    if (errno == ENOENT) return Fail(ErrorCode::kNotFound);
    return Fail(DiskError("open " + path));
  }
  std::string bytes;
  char buffer[1 << 16];
  while (true) {
    ssize_t got = read(file.fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(DiskError("read " + path));
    if (got == 0) break;
    bytes.append(buffer, static_cast<size_t>(got));
  }
  if (crypto::Hex(crypto::Sha256(bytes)) != hash)
    return Fail(Error::Internal("content of " + path + " does not fit its hash"));
  return bytes;
}

Result<void> Move(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0 || errno == ENOENT) return {};
  return Fail(DiskError("rename " + from));
}

std::string FolderOf(const std::string& root, const std::string& hash) { return root + "/" + hash.substr(0, 2); }

Result<void> SetAsideHere(const std::string& root, const std::string& hash) {
  if (!IsHash(hash)) return {};
  std::string folder = FolderOf(root, hash);
  return Move(folder + "/" + hash, folder + "/.aside-" + hash);
}

Result<void> SettleHere(const std::string& root, const std::string& hash, bool keep) {
  if (!IsHash(hash)) return {};
  std::string folder = FolderOf(root, hash), aside = folder + "/.aside-" + hash;
  if (keep) {
    // Whoever put the content anew meanwhile wrote the same bytes.
    MILLRACE_CHECK(Move(aside, folder + "/" + hash));
  } else if (unlink(aside.c_str()) != 0 && errno != ENOENT) {
    return Fail(DiskError("remove " + aside));
  }
  if (access(folder.c_str(), F_OK) != 0) return {};  // nothing was ever there
  return SyncFolder(folder);
}

}  // namespace

Store::Store(std::string folder) : folder_(std::move(folder)), pool_(1, "blob") {}

Task<Result<std::string>> Store::Put(std::string bytes) {
  auto work = [this, bytes = std::move(bytes)] { return PutHere(folder_, bytes); };
  Result<std::string> hash = co_await RunOn(pool_, std::move(work));
  co_return std::move(hash);
}

Task<Result<void>> Store::SetAside(std::string sha256) {
  auto work = [this, hash = std::move(sha256)] { return SetAsideHere(folder_, hash); };
  Result<void> done = co_await RunOn(pool_, std::move(work));
  co_return std::move(done);
}

Task<Result<void>> Store::Settle(std::string sha256, bool keep) {
  auto work = [this, keep, hash = std::move(sha256)] { return SettleHere(folder_, hash, keep); };
  Result<void> done = co_await RunOn(pool_, std::move(work));
  co_return std::move(done);
}

Task<Result<std::string>> Store::Get(std::string sha256) {
  auto work = [this, hash = std::move(sha256)] { return GetHere(folder_, hash); };
  Result<std::string> bytes = co_await RunOn(pool_, std::move(work));
  co_return std::move(bytes);
}

}  // namespace millrace::blob
