// SPDX-License-Identifier: Apache-2.0
// What every service is made of: a module that the process starts, asks and stops, on top of one core that brings
// databases, event log, relay, consumers, due work, and the EventLog and Runtime RPCs.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/async/pool.h"
#include "common/blob/blob.h"
#include "common/events/consumer.h"
#include "common/events/log.h"
#include "common/postgres/database.h"
#include "common/rpc/channel.h"
#include "common/runtime/health.h"
#include "common/runtime/settings.h"
#include "common/tasks/tasks.h"

namespace millrace::runtime {

// "seq N of that log exists", within this process at once and, where there is Redis, to others.
class WakeupBus {
 public:
  void Listen(std::string source, std::function<void(int64_t seq)> heard);
  void Announce(const std::string& source, int64_t seq);  // to listeners here and to `forward`
  void Heard(const std::string& source, int64_t seq);     // to listeners here
  std::function<void(std::string source, int64_t seq)> forward;

 private:
  std::multimap<std::string, std::function<void(int64_t)>> listeners_;
};

// What a process gives its modules. Outlives them.
struct Environment {
  Executor executor;
  ThreadPool* compute = nullptr;
  const Settings* settings = nullptr;
  WakeupBus* wakeups = nullptr;
  Health* health = nullptr;  // null: nobody asks
  // The channel to a service by its name ("escrow"), local or gRPC.
  std::function<rpc::Channel&(std::string_view service)> channel;
};

class Module {
 public:
  virtual ~Module() = default;
  virtual rpc::Service& service() = 0;
  // Ready to serve when it returns; calls may arrive from then on.
  virtual Task<Result<void>> Start() = 0;
  // Ends background work; calls in flight have ended.
  virtual void Stop() = 0;
};

// The core of a service with a database. Owned by its module; lives on the loop. Commands that need two persons ask
// identity before they run.
class ServiceCore {
 public:
  ServiceCore(std::string name, Environment& environment);
  ~ServiceCore();

  const std::string& name() const { return name_; }
  Environment& environment() { return environment_; }
  Executor executor() { return environment_.executor; }
  // Logged in as <name>_worker and <name>_reader. Writes, relays, pollers: worker. Reads for a caller: reader, by SQL
  // functions that set the asking organization (design: Who may see).
  postgres::Database& worker() { return worker_; }
  postgres::Database& reader() { return reader_; }
  rpc::Service& service() { return service_; }
  tasks::Runner& tasks() { return tasks_; }
  rpc::Channel& channel(std::string_view service) { return environment_.channel(service); }

  // Applies another service's log to `sink`. Before Start.
  void Consume(std::string source, events::Sink& sink);
  // For Writer::OnCommit: there may be events and due tasks.
  void Committed();
  // Registers EventLog and Runtime, starts relay, due work and consumers.
  void Start();
  void Stop();
  // Waits until this service has applied what `source` had committed when the wait began, at most `timeout`: reading
  // one's own writes. Late or unreachable: returns false, and the caller answers from what there is.
  Task<bool> CatchUpWith(std::string source, std::chrono::milliseconds timeout);

 private:
  void Register();
  std::string name_;
  Environment& environment_;
  postgres::Database worker_, reader_;
  rpc::Service service_;
  events::Log log_;
  events::Relay relay_;
  tasks::Runner tasks_;
  struct Source {
    std::unique_ptr<events::Consumer> consumer;
    events::Sink* sink;
  };
  std::map<std::string, Source> sources_;
  // Each hour removes kept outcomes and events whose time is over.
  Task<void> KeepHouse();
  // Every 2 s looks whether the database answers and is the primary, and how much work waits.
  Task<void> Observe();
  Health::Part Database() const;
  struct Observed {
    bool answered = false, primary = false;
    std::chrono::steady_clock::time_point at;
  } observed_;
  int health_handle_ = 0;
  Wakeup ended_, observing_ended_;
  bool stopped_ = false;
};

}  // namespace millrace::runtime
