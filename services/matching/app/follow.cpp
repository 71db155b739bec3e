// SPDX-License-Identifier: Apache-2.0
#include "services/matching/app/follow.h"

#include "millrace/credit/v1/risk_tier.pb.h"
#include "services/matching/app/demands.h"
#include "services/matching/app/wire.h"
#include "services/matching/store/reads.h"

namespace millrace::matching {
namespace {

using events::v1::Event;

constexpr std::chrono::milliseconds kLoadingPoll{2};

void PutListing(domain::Index& index, const listing::v1::Bookable& bookable) {
  bool published = bookable.listing().state() == listing::v1::Listing::PUBLISHED;
  index.PutListing(ToOffer(bookable), ParentsOf(bookable), published);
}

void PutBooking(domain::Index& index, const operations::v1::Booking& booking) {
  index.PutBooking(IdOrNil(booking.id()), booking.version(), ToLegs(booking));
}

}  // namespace

Task<Result<void>> ListingFollower::Load() {
  listing::v1::SnapshotListingsRequest request;
  bool more = true, first = true;
  while (more) {
    CallContext context = CallContext::ForService("matching");
    rpc::Channel& channel = channel_("listing");
    Result<listing::v1::SnapshotListingsResponse> page = co_await rpc::Call<listing::v1::SnapshotListingsResponse>(
        channel, "millrace.listing.v1.ListingService.SnapshotListings", std::move(context), request);
    if (!page) co_return std::unexpected<Error>(std::move(page).error());
    for (const listing::v1::Bookable& bookable : page->data()) PutListing(index_, bookable);
    if (first) position_ = page->seq();
    first = false;
    more = page->more() && page->data_size() > 0;
    if (more) request.set_after_id(page->data(page->data_size() - 1).listing().id());
  }
  loaded_ = true;
  co_return Result<void>();
}

Task<Result<int64_t>> ListingFollower::Position(std::string) {
  while (loading_) co_await Sleep(kLoadingPoll);
  if (!loaded_) {
    loading_ = true;
    Result<void> loaded = co_await Load();
    loading_ = false;
    if (!loaded) co_return std::unexpected<Error>(std::move(loaded).error());
  }
  co_return position_;
}

Task<Result<void>> ListingFollower::Apply(std::string, std::vector<Event> events) {
  for (const Event& event : events) {
    listing::v1::Bookable bookable;
    // What cannot be read is left out: the index is advisory, and operations refuses what is wrong.
    if (event.payload_type() == "millrace.listing.v1.Bookable" && bookable.ParseFromString(event.payload())) {
      PutListing(index_, bookable);
    }
    position_ = event.seq();
  }
  co_return Result<void>();
}

OperationsFollower::OperationsFollower(ChannelOf channel, domain::Index& index, postgres::Database& worker,
                                       postgres::Writer<DemandSet>& writer)
    : channel_(std::move(channel)), index_(index), demands_(worker, writer, NeedOfBooking, ApplyBooking) {}

Task<Result<void>> OperationsFollower::Load() {
  Result<int64_t> stored = co_await demands_.Position("operations");
  if (!stored) co_return std::unexpected<Error>(std::move(stored).error());
  demand_position_ = *stored;
  operations::v1::SnapshotReservationsRequest request;
  bool more = true, first = true;
  while (more) {
    CallContext context = CallContext::ForService("matching");
    rpc::Channel& channel = channel_("operations");
    Result<operations::v1::SnapshotReservationsResponse> page =
        co_await rpc::Call<operations::v1::SnapshotReservationsResponse>(
            channel, "millrace.operations.v1.Operations.SnapshotReservations", std::move(context), request);
    if (!page) co_return std::unexpected<Error>(std::move(page).error());
    for (const operations::v1::Booking& booking : page->data()) PutBooking(index_, booking);
    if (first) position_ = page->seq();
    first = false;
    more = page->more() && page->data_size() > 0;
    if (more) request.set_after_id(page->data(page->data_size() - 1).id());
  }
  loaded_ = true;
  co_return Result<void>();
}

Task<Result<int64_t>> OperationsFollower::Position(std::string) {
  while (loading_) co_await Sleep(kLoadingPoll);
  if (!loaded_) {
    loading_ = true;
    Result<void> loaded = co_await Load();
    loading_ = false;
    if (!loaded) co_return std::unexpected<Error>(std::move(loaded).error());
  }
  co_return std::min(position_, demand_position_);
}

Task<Result<void>> OperationsFollower::Apply(std::string source, std::vector<Event> events) {
  std::vector<Event> unseen;
  for (const Event& event : events) {
    if (event.seq() > demand_position_) unseen.push_back(event);
    if (event.seq() <= position_) continue;  // in the snapshot
    operations::v1::Booking booking;
    if (event.payload_type() == "millrace.operations.v1.Booking" && booking.ParseFromString(event.payload())) {
      PutBooking(index_, booking);
    }
    position_ = event.seq();
  }
  if (unseen.empty()) co_return Result<void>();
  int64_t last = unseen.back().seq();
  Result<void> applied = co_await demands_.Apply(std::move(source), std::move(unseen));
  if (applied) demand_position_ = last;
  co_return std::move(applied);
}

CreditFollower::CreditFollower(domain::Index& index, postgres::Database& worker, postgres::Writer<DemandSet>& writer)
    : index_(index),
      worker_(worker),
      stored_(
          worker, writer, [](DemandSet&, const Event&) {},
          [](DemandSet& set, const Event& event) -> Result<void> {
            credit::v1::RiskTier tier;
            if (event.type() != "risk_tier.changed") return {};
            if (!tier.ParseFromString(event.payload())) return Fail(Error::Internal("a tier that cannot be read"));
            if (tier.role() != credit::v1::PROVIDER) return {};
            set.tiers[IdOrNil(tier.organization_id())] = {tier.tier(), tier.version()};
            return {};
          }) {}

Task<Result<int64_t>> CreditFollower::Position(std::string source) {
  if (loaded_) co_return position_;
  Result<std::map<Uuid, int>> tiers = co_await ReadTiers(worker_);
  if (!tiers) co_return std::unexpected<Error>(std::move(tiers).error());
  Result<int64_t> position = co_await stored_.Position(std::move(source));
  if (!position) co_return std::unexpected<Error>(std::move(position).error());
  for (const auto& [provider, tier] : *tiers) index_.PutTier(provider, tier);
  position_ = *position;
  loaded_ = true;
  co_return position_;
}

Task<Result<void>> CreditFollower::Apply(std::string source, std::vector<Event> events) {
  Result<void> applied = co_await stored_.Apply(std::move(source), events);
  if (!applied) co_return std::unexpected<Error>(std::move(applied).error());
  for (const Event& event : events) {
    credit::v1::RiskTier tier;
    if (event.type() == "risk_tier.changed" && tier.ParseFromString(event.payload()) &&
        tier.role() == credit::v1::PROVIDER) {
      index_.PutTier(IdOrNil(tier.organization_id()), tier.tier());
    }
    position_ = event.seq();
  }
  co_return Result<void>();
}

}  // namespace millrace::matching
