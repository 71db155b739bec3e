// SPDX-License-Identifier: Apache-2.0
#include "services/operations/tests/world.h"

#include "common/crypto/crypto.h"
#include "common/terms/terms.h"

namespace millrace::operations {

wire::Escrow ScriptedEscrow::MessageOf(const Uuid& booking) const {
  const Entry& entry = escrows.at(booking);
  wire::Escrow message;
  message.set_booking_id(FormatId("bkg", booking));
  message.set_state(entry.state);
  message.mutable_price()->set_amount(entry.price);
  if (entry.state == wire::Escrow::AWAITING) message.mutable_missing()->set_amount(entry.price + entry.deposit);
  return message;
}

Result<wire::Escrow> ScriptedEscrow::Hold(const wire::HoldRequest& request) {
  if (before_hold) before_hold();
  Uuid booking = IdOrNil(request.booking_id());
  Entry wanted{wire::Escrow::AWAITING, request.price().amount(), request.deposit().amount(), 0,
               IdOrNil(request.buyer_id())};
  auto [entry, fresh] = escrows.emplace(booking, wanted);
  Entry& escrow = entry->second;
  if (escrow.state == wire::Escrow::VOIDED) return Fail(ErrorCode::kHoldVoided);
  if (fresh) {
    ++holds;
    int64_t& balance = Balance(escrow.buyer);
    if (balance >= escrow.price + escrow.deposit) {
      balance -= escrow.price + escrow.deposit;
      escrow.state = wire::Escrow::HELD;
    }
  } else {
    EXPECT_EQ(escrow.price, wanted.price);
    EXPECT_EQ(escrow.deposit, wanted.deposit);
  }
  return MessageOf(booking);
}

Result<wire::Escrow> ScriptedEscrow::Void(const wire::VoidRequest& request) {
  Uuid booking = IdOrNil(request.booking_id());
  Entry& escrow = escrows.emplace(booking, Entry{wire::Escrow::VOIDED}).first->second;
  if (escrow.state == wire::Escrow::CAPTURED) {
    return Fail(ErrorCode::kStateConflict, {{"state", "CAPTURED"}, {"action", "void"}, {"allowed", "-"}});
  }
  if (escrow.state == wire::Escrow::HELD && request.only_unfunded()) return MessageOf(booking);
  if (escrow.state == wire::Escrow::HELD) Balance(escrow.buyer) += escrow.price + escrow.deposit;
  escrow.state = wire::Escrow::VOIDED;
  return MessageOf(booking);
}

Result<wire::Escrow> ScriptedEscrow::Capture(const wire::CaptureRequest& request) {
  auto found = escrows.find(IdOrNil(request.booking_id()));
  if (found == escrows.end()) return Fail(ErrorCode::kNotFound);
  Entry& escrow = found->second;
  if (escrow.state == wire::Escrow::CAPTURED) {
    EXPECT_EQ(escrow.captured, request.amount().amount());
    return MessageOf(found->first);
  }
  EXPECT_EQ(escrow.state, wire::Escrow::HELD) << "captured what is not held";
  EXPECT_LE(request.amount().amount(), escrow.price);
  ++captures;
  escrow.state = wire::Escrow::CAPTURED;
  escrow.captured = request.amount().amount();
  Balance(escrow.buyer) += escrow.price + escrow.deposit - escrow.captured;
  return MessageOf(found->first);
}

Task<Result<std::unique_ptr<rpc::Message>>> ScriptedEscrow::Send(const rpc::MethodDescriptor* method,
                                                                 CallContext context,
                                                                 std::unique_ptr<rpc::Message> request) {
  EXPECT_TRUE(context.IsService());
  auto unlucky = [this](int percent) { return random && static_cast<int>((*random)() % 100) < percent; };
  if (unlucky(refuse)) co_return Fail(ErrorCode::kUnavailable);
  const std::string& name = method->name();
  Result<wire::Escrow> answer = Fail(ErrorCode::kInternal);
  if (name == "Hold") answer = Hold(static_cast<const wire::HoldRequest&>(*request));
  if (name == "Void") answer = Void(static_cast<const wire::VoidRequest&>(*request));
  if (name == "Capture") answer = Capture(static_cast<const wire::CaptureRequest&>(*request));
  if (unlucky(lose)) co_return Fail(ErrorCode::kDeadlineExceeded);
  if (!answer) co_return std::unexpected<Error>(answer.error());
  std::unique_ptr<rpc::Message> message = std::make_unique<wire::Escrow>(*answer);
  co_return std::move(message);
}

std::vector<wire::Escrow> ScriptedEscrow::PayIn(const Uuid& buyer, int64_t amount) {
  Balance(buyer) += amount;
  std::vector<wire::Escrow> held;
  for (auto& [booking, escrow] : escrows) {
    const int64_t needed = escrow.price + escrow.deposit;
    if (escrow.buyer != buyer || escrow.state != wire::Escrow::AWAITING || Balance(buyer) < needed) continue;
    Balance(buyer) -= needed;
    escrow.state = wire::Escrow::HELD;
    held.push_back(MessageOf(booking));
  }
  return held;
}

Task<Result<std::unique_ptr<rpc::Message>>> ScriptedListing::Send(const rpc::MethodDescriptor*, CallContext,
                                                                  std::unique_ptr<rpc::Message> request) {
  ++asked;
  auto found = listings.find(IdOrNil(static_cast<const listing::v1::GetBookableRequest&>(*request).listing_id()));
  if (found == listings.end()) co_return Fail(ErrorCode::kNotFound);
  std::unique_ptr<rpc::Message> message = std::make_unique<listing::v1::Bookable>(found->second);
  co_return std::move(message);
}

World::Instance::Instance(World& world, const std::string& url) {
  postgres::DatabaseOptions options;
  options.url = url;
  options.schema = "operations";
  options.role = "operations_worker";
  worker = std::make_unique<postgres::Database>(options);
  options.role = "operations_reader";
  reader = std::make_unique<postgres::Database>(options);
  runner = std::make_unique<tasks::Runner>(world.loop_.executor(), *worker);
  operations = std::make_unique<Operations>(
      Ports{world.loop_.executor(), *worker, *reader, *runner, [&world](std::string_view name) -> rpc::Channel& {
              if (name == "escrow") return world.escrow_;
              return world.listing_;
            }});
  operations->HandleTasks();
}

World::World() : url_(test::PrivatePostgres::Instance().NewDatabase({{"operations", Migrations()}})) {
  postgres::DatabaseOptions options;
  options.url = url_;
  options.schema = "operations";
  admin_ = std::make_unique<postgres::Database>(options);
  instance_ = std::make_unique<Instance>(*this, url_);
  base_ = std::chrono::floor<std::chrono::hours>(Now()) + std::chrono::hours(240);
}

listing::v1::Bookable World::Payload(const Offered& offered) {
  listing::v1::Bookable bookable;
  auto* listing = bookable.mutable_listing();
  listing->set_id(FormatId("lst", offered.listing));
  listing->set_organization_id(FormatId("org", offered.provider));
  listing->set_resource_id(FormatId("res", offered.resource));
  listing->set_state(offered.state);
  listing->set_version(offered.version);
  listing->mutable_calendar()->set_time_zone("Asia/Shanghai");
  for (int day = 1; day <= 7; ++day) {
    auto* rule = listing->mutable_calendar()->add_weekly();
    rule->set_weekday(day);
    rule->set_end_minute(1440);
  }
  auto* plan = listing->mutable_price_plan();
  plan->set_currency("CNY");
  plan->set_unit(listing::v1::PricePlan::HOUR);
  plan->add_steps()->set_unit_price(10000);
  plan->set_deposit(50000);
  plan->set_no_show_basis_points(5000);
  auto* tier = plan->add_cancellation();
  tier->set_hours_before(24);
  tier->set_fee_basis_points(2000);
  listing->mutable_terms()->set_approval_required(offered.approval);
  bookable.mutable_resource()->set_id(FormatId("res", offered.resource));
  bookable.mutable_resource()->set_units(offered.units);
  for (const Uuid& parent : offered.parents) bookable.mutable_resource()->add_parent_ids(FormatId("res", parent));
  return bookable;
}

void World::Tell(const std::string& source, const std::string& type, const std::string& aggregate,
                 const google::protobuf::Message& payload) {
  events::v1::Event event;
  event.set_id(FormatId("evt", Uuid::New()));
  event.set_source(source);
  event.set_seq(++seqs_[source]);
  event.set_type(type);
  event.set_aggregate(aggregate);
  event.set_payload_type(payload.GetDescriptor()->full_name());
  event.set_payload(payload.SerializeAsString());
  std::vector<events::v1::Event> events = {event};
  auto applied = Await(operations().sink().Apply(source, std::move(events)));
  EXPECT_TRUE(applied) << applied.error().cause;
}

void World::Publish(const Offered& offered) {
  Tell("listing", "listing.published", FormatId("lst", offered.listing), Payload(offered));
}

CallContext World::As(const Uuid& organization, const std::string& key) {
  CallContext context;
  context.organization = organization;
  context.roles = {"buyer", "provider"};
  context.organization_verified = true;
  context.idempotency_key = key.empty() ? FormatId("key", Uuid::New()) : key;
  context.fingerprint = std::string(32, 'f');
  return context;
}

v1::CreateBookingRequest World::Wish(const Offered& offered, int start_hour, int hours, const std::string& work) {
  v1::CreateBookingRequest request;
  auto* booking = request.mutable_booking();
  booking->set_listing_id(FormatId("lst", offered.listing));
  terms::FromInterval({At(start_hour), At(start_hour + hours)}, booking->mutable_window());
  booking->set_work(work);
  return request;
}

Result<v1::Booking> World::Create(CallContext context, v1::CreateBookingRequest request) {
  return Await(operations().CreateBooking(std::move(context), std::move(request)));
}

Result<v1::Booking> World::Book(const Uuid& buyer, const Offered& offered, int start_hour, int hours,
                                const std::string& work) {
  return Create(As(buyer), Wish(offered, start_hour, hours, work));
}

Result<v1::Booking> World::Act(const Uuid& caller, const std::string& booking, BookingEvent event) {
  v1::BookingVerbRequest request;
  request.set_id(booking);
  if (event == BookingEvent::kApprove) return Await(operations().ApproveBooking(As(caller), request));
  return Await(operations().ActOnBooking(As(caller), request, event, "Verb"));
}

Result<v1::WorkOrder> World::ActWork(const Uuid& caller, const std::string& work, WorkEvent event,
                                     const std::string& note) {
  v1::WorkOrderVerbRequest request;
  request.set_id(work);
  request.set_note(note);
  return Await(operations().ActOnWorkOrder(As(caller), request, event, "WorkVerb"));
}

v1::Booking World::Get(const Uuid& caller, const std::string& booking) {
  v1::GetBookingRequest request;
  request.set_id(booking);
  auto found = Await(operations().GetBooking(As(caller), request));
  EXPECT_TRUE(found);
  return found ? *found : v1::Booking();
}

int World::Fire() {
  auto fired = Await(instance_->runner->FireDue());
  EXPECT_TRUE(fired);
  return fired.value_or(-1);
}

void World::AdvanceTo(Time time) {
  EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
    tx.ExecuteText("UPDATE runtime.clock SET test = true, ahead = ahead + greatest('0', '" + FormatTime(time) +
                   "'::timestamptz - runtime.now())");
  }));
}

Time World::Now() { return FromMicros(Count("SELECT runtime.micros(runtime.now())")); }

int64_t World::Count(const std::string& sql) {
  int64_t value = -1;
  auto done = admin_->RunHere([&](postgres::Transaction& tx) { value = tx.ExecuteText(sql)[0].Int(0); });
  EXPECT_TRUE(done) << done.error().cause;
  return value;
}

}  // namespace millrace::operations
