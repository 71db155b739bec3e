// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/app/commands.h"

#include "common/crypto/crypto.h"

namespace millrace::escrow {
namespace {

Uuid EscrowOf(const Uuid& booking) { return crypto::DeriveId(booking, "escrow"); }
Money Read(const type::Money& money) { return {money.amount(), money.currency()}; }

// The booking is the key of operations' commands; the key of the client's own call is not theirs.
postgres::CommandHeader Keyless(const CallContext& context, std::string_view method) {
  postgres::CommandHeader header = postgres::CommandHeader::Of(context, method);
  header.key.clear();
  return header;
}

}  // namespace

Task<Result<v1::Escrow>> Commands::Submit(CallContext context, postgres::CommandHeader header,
                                          std::function<void(EscrowSet&)> need, Decide decide) {
  Audience audience{true, custodian_};
  postgres::Command<EscrowSet> command;
  command.header = std::move(header);
  command.need = std::move(need);
  command.decide = [decide = std::move(decide), audience](EscrowSet& set) -> Result<std::string> {
    MILLRACE_TRY(const domain::Escrow* escrow, decide(set));
    Publish(set, audience.custodian);
    return ToMessage(*escrow, audience).SerializeAsString();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::Escrow escrow;
  if (!escrow.ParseFromString(outcome->response)) co_return Fail(Error::Internal("a stored escrow can't be read"));
  context.reply->replayed = outcome->replayed;
  context.reply->etag = escrow.etag();
  co_return std::move(escrow);
}

Task<Result<v1::Escrow>> Commands::Hold(CallContext context, v1::HoldRequest request) {
  domain::HoldTerms terms;
  terms.booking = IdOrNil(request.booking_id());
  terms.escrow = EscrowOf(terms.booking);
  terms.buyer = IdOrNil(request.buyer_id());
  terms.provider = IdOrNil(request.provider_id());
  terms.price = Read(request.price());
  terms.deposit = Read(request.deposit());
  terms.expire_time =
      Time(std::chrono::seconds(request.expire_time().seconds()) + Duration(request.expire_time().nanos() / 1000));
  auto need = [terms](EscrowSet& set) {
    set.escrow_ids.insert(terms.escrow);
    set.payers.emplace(terms.buyer, terms.price.currency);
  };
  auto decide = [terms](EscrowSet& set) -> Result<const domain::Escrow*> {
    MILLRACE_TRY(const domain::Escrow* escrow, set.book.Hold(terms));
    set.new_references[terms.buyer] = ReferenceOf(terms.buyer);
    return escrow;
  };
  postgres::CommandHeader header = Keyless(context, "Hold");
  Result<v1::Escrow> escrow =
      co_await Submit(std::move(context), std::move(header), std::move(need), std::move(decide));
  co_return std::move(escrow);
}

Task<Result<v1::Escrow>> Commands::Void(CallContext context, v1::VoidRequest request) {
  Uuid booking = IdOrNil(request.booking_id()), id = EscrowOf(booking);
  bool only_unfunded = request.only_unfunded();
  auto need = [id](EscrowSet& set) { set.escrow_ids.insert(id); };
  auto decide = [=](EscrowSet& set) { return set.book.Void(id, booking, only_unfunded); };
  postgres::CommandHeader header = Keyless(context, "Void");
  Result<v1::Escrow> escrow =
      co_await Submit(std::move(context), std::move(header), std::move(need), std::move(decide));
  co_return std::move(escrow);
}

Task<Result<v1::Escrow>> Commands::Capture(CallContext context, v1::CaptureRequest request) {
  Uuid id = EscrowOf(IdOrNil(request.booking_id()));
  Money amount = Read(request.amount());
  std::string reason = request.reason();
  auto need = [id](EscrowSet& set) { set.escrow_ids.insert(id); };
  auto decide = [=](EscrowSet& set) { return set.book.Capture(id, amount, reason); };
  postgres::CommandHeader header = Keyless(context, "Capture");
  Result<v1::Escrow> escrow =
      co_await Submit(std::move(context), std::move(header), std::move(need), std::move(decide));
  co_return std::move(escrow);
}

Task<Result<v1::Escrow>> Commands::Release(CallContext context, v1::ReleaseEscrowRequest request) {
  Uuid id = IdOrNil(request.id()), buyer = context.organization;
  auto need = [id](EscrowSet& set) { set.escrow_ids.insert(id); };
  auto decide = [=](EscrowSet& set) { return set.book.Release(id, buyer); };
  postgres::CommandHeader header = postgres::CommandHeader::Of(context, "ReleaseEscrow");
  Result<v1::Escrow> escrow =
      co_await Submit(std::move(context), std::move(header), std::move(need), std::move(decide));
  co_return std::move(escrow);
}

Task<Result<void>> Commands::Expire(Uuid escrow, postgres::EndedTask ended) {
  std::string custodian = custodian_;
  postgres::Command<EscrowSet> command;
  command.header.method = "expire";
  command.need = [escrow](EscrowSet& set) { set.escrow_ids.insert(escrow); };
  command.decide = [=](EscrowSet& set) -> Result<std::string> {
    set.book.Expire(escrow);
    Publish(set, custodian);
    // The timer that runs is ended by its fence, not cancelled.
    std::erase(set.cancelled_tasks, ended.id);
    set.ended_tasks.push_back(ended);
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

}  // namespace millrace::escrow
