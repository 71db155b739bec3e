// SPDX-License-Identifier: Apache-2.0
// CreateBooking: place, hold, answer. The booking is placed without a key record but with its key in its row; the
// record is written by the answer, after the fast path of the hold, so that the first answer and every replay are the
// same bytes. A crash in between leaves the row: the retry finds it by its key, and answers.
#include "common/crypto/crypto.h"
#include "common/terms/terms.h"
#include "millrace/listing/v1/listing.pb.h"
#include "services/operations/app/operations.h"
#include "services/operations/store/mapping.h"

namespace millrace::operations {
namespace {

// How long a caller waits for escrow before the answer says HELD.
constexpr std::chrono::seconds kFastPath{2};
// When due work takes the hold over, should the caller's own attempt be lost.
constexpr std::chrono::seconds kHoldRecovery{3};

}  // namespace

struct Operations::Wanted {
  CallContext context;
  RequestKey key;
  Uuid listing, id, work_order;
  Wish wish;
  std::string work, external_id;
  Uuid demand;
  // Out of the last run of the decision.
  bool unknown_listing = false;  // or the version that the buyer saw is newer than ours
  bool hold = false;
  bool key_reused = false;

  void Need(Set& set) const;
  Result<std::string> Decide(Set& set);
};

void Operations::Wanted::Need(Set& set) const {
  set.WantCapacity(listing, wish.window);
  set.want_organizations.insert(wish.buyer);
  if (!key.second.empty()) set.want_requests.insert(key);
  if (!external_id.empty()) set.want_external.insert({wish.buyer, external_id});
}

Result<std::string> Operations::Wanted::Decide(Set& set) {
  unknown_listing = hold = key_reused = false;
  if (!key.second.empty()) {
    if (set.answered.contains(key)) return std::string();  // the answer's own command replays it
    if (auto placed = set.by_request.find(key); placed != set.by_request.end()) {
      TradeRow* row = set.Find(placed->second);
      if (!row || row->fingerprint != context.fingerprint) {
        key_reused = true;
        return Fail(ErrorCode::kIdempotencyKeyReused);
      }
      id = placed->second;
      hold = row->trade.booking.state == BookingState::kHeld;
      return Bytes(Render(row->trade));
    }
  }
  auto bookable = set.bookables.find(listing);
  if (bookable == set.bookables.end() || bookable->second.value.version < wish.listing_version) {
    unknown_listing = true;
    if (bookable == set.bookables.end()) return Fail(Error::At("#/booking/listing_id", ErrorCode::kNotFound));
  }
  const Bookable& offered = bookable->second.value;
  if (!set.around.contains(offered.resource)) {  // learned within this very batch: its capacity is not locked
    unknown_listing = true;
    return Fail(ErrorCode::kNotFound);
  }
  const OrganizationRow& organization = set.organizations[wish.buyer];
  Buyer buyer{organization.tier, organization.suspended, organization.exposure};
  MILLRACE_TRY(Offer offer, CheckWish(wish, offered, set.around[offered.resource], set.taken, buyer, set.now));
  if (!external_id.empty() && set.by_external.contains({wish.buyer, external_id})) {
    return Fail(Error::At("#/booking/external_id", ErrorCode::kAlreadyExists, {{"value", external_id}}));
  }
  Booking booking;
  booking.id = id;
  booking.buyer = wish.buyer;
  booking.provider = offered.provider;
  booking.listing = listing;
  booking.listing_version = offered.version;
  booking.resource = offered.resource;
  booking.window = wish.window;
  booking.units = wish.units;
  booking.demand = demand;
  booking.work = work;
  booking.external_id = external_id;
  booking.agreement = std::move(offer.agreement);
  TradeRow& row = set.trades[id];
  row.request_key = key.second;
  row.fingerprint = context.fingerprint;
  set.Commit(row,
             MakeBooking(std::move(booking), offered.approval_required, std::move(offer.legs), work_order, set.now),
             Duration(kHoldRecovery));
  if (!key.second.empty()) set.by_request[key] = id;
  if (!external_id.empty()) set.by_external[{wish.buyer, external_id}] = id;
  hold = row.trade.booking.state == BookingState::kHeld;
  return Bytes(Render(row.trade));
}

Task<Result<postgres::Outcome>> Operations::Place(std::shared_ptr<Wanted> wanted) {
  postgres::Command<Set> command;
  command.header = postgres::CommandHeader::Of(wanted->context, "CreateBooking.place");
  command.header.key.clear();
  command.need = [wanted](Set& set) { wanted->Need(set); };
  command.decide = [wanted](Set& set) { return wanted->Decide(set); };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  co_return std::move(outcome);
}

// Asks listing for what we have not heard of yet. NOT_FOUND there means there is none: not an error here, the decision
// says so.
Task<Result<void>> Operations::LearnListing(std::shared_ptr<Wanted> wanted) {
  listing::v1::GetBookableRequest request;
  request.set_listing_id(FormatId("lst", wanted->listing));
  CallContext context = CallContext::ForService("operations", wanted->context.traceparent);
  context.deadline = std::min(wanted->context.deadline, WallNow() + std::chrono::seconds(5));
  rpc::Channel& channel = ports_.channel("listing");
  Result<listing::v1::Bookable> found = co_await rpc::Call<listing::v1::Bookable>(
      channel, "millrace.listing.v1.ListingService.GetBookable", std::move(context), std::move(request));
  if (!found) {
    if (found.error().code == ErrorCode::kNotFound) co_return Result<void>();
    co_return std::unexpected<Error>(std::move(found).error());
  }
  std::string payload = Bytes(*found);
  Uuid listing = wanted->listing;
  postgres::Command<Set> command;
  command.header.method = "learn_listing";
  command.need = [listing](Set& set) { set.want_bookables.insert(listing); };
  command.decide = [payload](Set& set) -> Result<std::string> {
    LearnBookable(set, payload);
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

// The hold task, at once; waits for it at most kFastPath. It goes on by itself after that.
Task<void> Operations::HoldNow(Uuid booking) {
  auto done = std::make_shared<Wakeup>(ports_.executor);
  Uuid task = crypto::DeriveId(booking, "hold");
  auto run = [](tasks::Runner& tasks, Uuid id, std::shared_ptr<Wakeup> wakeup) -> Task<void> {
    Result<void> ran = co_await tasks.RunNow(id);
    (void)ran;  // what failed is due again by itself
    wakeup->Signal();
  };
  Spawn(ports_.executor, run(ports_.tasks, task, done), "hold");
  bool signalled = co_await done->Wait(kFastPath);
  (void)signalled;
}

Task<Result<v1::Booking>> Operations::Answer(CallContext context, std::shared_ptr<Wanted> wanted,
                                             std::optional<Error> refusal) {
  postgres::Command<Set> command;
  command.header = postgres::CommandHeader::Of(context, "CreateBooking");
  command.need = [wanted](Set& set) { set.want_requests.insert(wanted->key); };
  command.decide = [wanted, refusal](Set& set) -> Result<std::string> {
    auto placed = set.by_request.find(wanted->key);
    TradeRow* row = placed == set.by_request.end() ? nullptr : set.Find(placed->second);
    if (row && row->fingerprint == wanted->context.fingerprint) return Bytes(Render(row->trade));
    if (row) return Fail(Error::Internal("the key was taken by another request meanwhile"));
    return std::unexpected<Error>(refusal.value_or(Error::Internal("placed, but not there")));
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  co_return Reply<v1::Booking>(context, outcome);
}

Task<Result<v1::Booking>> Operations::CreateBooking(CallContext context, v1::CreateBookingRequest request) {
  context.validate_only = context.validate_only || request.validate_only();
  const v1::Booking& booking = request.booking();
  auto wanted = std::make_shared<Wanted>();
  wanted->context = context;
  if (!context.validate_only) wanted->key = {context.organization, context.idempotency_key};
  wanted->listing = IdOrNil(booking.listing_id());
  wanted->id = Uuid::New();
  if (!booking.work().empty()) wanted->work_order = crypto::DeriveId(wanted->id, "work_order");
  wanted->wish = {context.organization, booking.listing_version(), terms::ToInterval(booking.window()),
                  std::max<int64_t>(1, booking.units())};
  wanted->work = booking.work();
  wanted->external_id = booking.external_id();
  wanted->demand = IdOrNil(booking.demand_id());

  Result<postgres::Outcome> placed = co_await Place(wanted);
  if (!placed && wanted->unknown_listing) {
    Result<void> learned = co_await LearnListing(wanted);
    if (!learned) co_return std::unexpected<Error>(std::move(learned).error());
    placed = co_await Place(wanted);
  }
  if (context.validate_only || (!placed && wanted->key_reused)) co_return Reply<v1::Booking>(context, placed);
  if (!placed) {
    if (!postgres::KeptWithKey(placed.error()) || placed.error().code == ErrorCode::kIdempotencyInProgress)
      co_return Reply<v1::Booking>(context, placed);
    Error refusal = std::move(placed).error();
    Result<v1::Booking> answer = co_await Answer(std::move(context), wanted, std::move(refusal));
    co_return std::move(answer);
  }
  if (wanted->hold) {
    Uuid id = wanted->id;
    co_await HoldNow(id);
  }
  Result<v1::Booking> answer = co_await Answer(std::move(context), wanted, std::nullopt);
  co_return std::move(answer);
}

}  // namespace millrace::operations
