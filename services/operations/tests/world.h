// SPDX-License-Identifier: Apache-2.0
// Operations on a database of its own, with scripted services beside it.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "common/postgres/migrate.h"
#include "common/runtime/module.h"
#include "millrace/escrow/v1/escrow.pb.h"
#include "millrace/listing/v1/listing.pb.h"
#include "services/operations/app/operations.h"
#include "services/operations/module.h"
#include "tests/support/loop.h"
#include "tests/support/private_postgres.h"

namespace millrace::operations {

namespace wire = ::millrace::escrow::v1;

// The other side of the saga: escrow's contract over balances in memory, with faults on demand.
class ScriptedEscrow : public rpc::Channel {
 public:
  struct Entry {
    wire::Escrow::State state;
    int64_t price = 0, deposit = 0, captured = 0;
    Uuid buyer;
  };
  int64_t default_balance = 1'000'000'000;
  std::map<Uuid, int64_t> balances;
  std::map<Uuid, Entry> escrows;  // by booking
  int holds = 0, captures = 0;
  // Percent of calls that fail before, or after, they took effect; needs `random`.
  int refuse = 0, lose = 0;
  std::mt19937* random = nullptr;
  std::function<void()> before_hold;

  Task<Result<std::unique_ptr<rpc::Message>>> Send(const rpc::MethodDescriptor* method, CallContext context,
                                                   std::unique_ptr<rpc::Message> request) override;
  // A pay-in arrives: every waiting escrow of the buyer is tried.
  std::vector<wire::Escrow> PayIn(const Uuid& buyer, int64_t amount);
  int64_t& Balance(const Uuid& buyer) { return balances.emplace(buyer, default_balance).first->second; }
  wire::Escrow MessageOf(const Uuid& booking) const;

 private:
  Result<wire::Escrow> Hold(const wire::HoldRequest& request);
  Result<wire::Escrow> Void(const wire::VoidRequest& request);
  Result<wire::Escrow> Capture(const wire::CaptureRequest& request);
};

// Answers GetBookable from a map.
class ScriptedListing : public rpc::Channel {
 public:
  std::map<Uuid, listing::v1::Bookable> listings;
  int asked = 0;
  Task<Result<std::unique_ptr<rpc::Message>>> Send(const rpc::MethodDescriptor* method, CallContext context,
                                                   std::unique_ptr<rpc::Message> request) override;
};

class World : public ::testing::Test {
 protected:
  World();

  // One instance of the service: a writer, a runner and their connections.
  struct Instance {
    Instance(World& world, const std::string& url);
    std::unique_ptr<postgres::Database> worker, reader;
    std::unique_ptr<tasks::Runner> runner;
    std::unique_ptr<Operations> operations;
  };

  struct Offered {
    Uuid listing = Uuid::New(), resource = Uuid::New(), provider = Uuid::New();
    int units = 1;
    std::vector<Uuid> parents;
    bool approval = false;
    int64_t version = 1;
    listing::v1::Listing::State state = listing::v1::Listing::PUBLISHED;
  };
  static listing::v1::Bookable Payload(const Offered& offered);
  // Lets operations hear of it as its event.
  void Publish(const Offered& offered);
  void Tell(const std::string& source, const std::string& type, const std::string& aggregate,
            const google::protobuf::Message& payload);

  static CallContext As(const Uuid& organization, const std::string& key = "");
  v1::CreateBookingRequest Wish(const Offered& offered, int start_hour, int hours, const std::string& work = "");
  Result<v1::Booking> Create(CallContext context, v1::CreateBookingRequest request);
  Result<v1::Booking> Book(const Uuid& buyer, const Offered& offered, int start_hour, int hours,
                           const std::string& work = "");
  Result<v1::Booking> Act(const Uuid& caller, const std::string& booking, BookingEvent event);
  Result<v1::WorkOrder> ActWork(const Uuid& caller, const std::string& work, WorkEvent event,
                                const std::string& note = "");
  v1::Booking Get(const Uuid& caller, const std::string& booking);
  int Fire();
  void AdvanceTo(Time time);
  Time Now();
  Time At(int hour) const { return base_ + std::chrono::hours(hour); }
  int64_t Count(const std::string& sql);

  template <class T>
  Result<T> Await(Task<Result<T>> task) {
    std::optional<Result<T>> out;
    loop_.Start(Keep(std::move(task), &out));
    loop_.Run();
    return std::move(*out);
  }
  template <class T>
  static Task<void> Keep(Task<Result<T>> task, std::optional<Result<T>>* out) {
    Result<T> result = co_await std::move(task);
    out->emplace(std::move(result));
  }
  Operations& operations() { return *instance_->operations; }

  test::Loop loop_;
  std::string url_;
  ScriptedEscrow escrow_;
  ScriptedListing listing_;
  std::unique_ptr<postgres::Database> admin_;
  std::unique_ptr<Instance> instance_;
  Time base_;  // a whole hour, ten days ahead of the start
  std::map<std::string, int64_t> seqs_;
};

}  // namespace millrace::operations
