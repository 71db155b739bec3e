// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/expand.h"

#include <algorithm>
#include <map>
#include <optional>

#include "common/http/json.h"
#include "common/rpc/channel.h"
#include "common/rpc/scope.h"
#include "services/gateway/json_tree.h"

namespace millrace::gateway {
namespace {

using google::protobuf::Message;

struct Wanted {
  const Route* read;
  std::string id;
  std::optional<JsonValue> object;
};

// The work of one answer, shared by the coroutines that do it.
struct Job {
  explicit Job(Executor executor) : done(std::move(executor)) {}
  Wakeup done;
  std::vector<Wanted> wanted;
  size_t next = 0;
  int running = 0;
  std::optional<Error> failure;
  runtime::Environment* environment;
  CallContext context;
};

Task<Result<void>> Bring(std::shared_ptr<Job> job, Wanted* wanted) {
  CallContext context = job->context;
  context.reply = std::make_shared<ReplyInfo>();
  std::unique_ptr<Message> request(wanted->read->request->New());
  const auto* id = request->GetDescriptor()->FindFieldByName("id");
  request->GetReflection()->SetString(request.get(), id, wanted->id);
  rpc::Channel* channel = &job->environment->channel(wanted->read->service);
  Result<std::unique_ptr<Message>> answer =
      co_await channel->Send(wanted->read->method, std::move(context), std::move(request));
  if (!answer) {
    ErrorCode code = answer.error().code;
    bool hidden = code == ErrorCode::kNotFound || code == ErrorCode::kInsufficientScope;
    if (hidden) co_return Result<void>();
    co_return std::unexpected<Error>(std::move(answer).error());
  }
  MILLRACE_CO_TRY(JsonValue object, http::ParseJson(http::WriteJson(**answer)));
  wanted->object = std::move(object);
  co_return Result<void>();
}

Task<void> Work(std::shared_ptr<Job> job) {
  try {
    while (job->next < job->wanted.size() && !job->failure) {
      Wanted* wanted = &job->wanted[job->next++];
      Result<void> brought = co_await Bring(job, wanted);
      if (!brought && !job->failure) job->failure = std::move(brought).error();
    }
  } catch (const std::exception& failure) {
    job->failure = Error::Internal(failure.what());
  }
  --job->running;
  job->done.Signal();
}

// Every object of the answer that may have ids: the entries of a page, or the answer itself.
std::vector<const Message*> ObjectsOf(const Route& route, const Message& answer) {
  if (!route.page) return {&answer};
  std::vector<const Message*> objects;
  const auto* reflection = answer.GetReflection();
  for (int i = 0; i < reflection->FieldSize(answer, route.page); ++i)
    objects.push_back(&reflection->GetRepeatedMessage(answer, route.page, i));
  return objects;
}

// The member `name`, right behind its id.
void PutBeside(JsonValue* object, const Expansion& expansion, const JsonValue& value) {
  for (auto it = object->members.begin(); it != object->members.end(); ++it) {
    if (it->name != expansion.id->name()) continue;
    object->members.insert(it + 1, {expansion.name, value});
    return;
  }
}

}  // namespace

Task<Result<std::string>> Expand(runtime::Environment* environment, const RoutingTable* table, const Route* route,
                                 std::vector<const Expansion*> expansions, const Message* answer, CallContext context) {
  auto job = std::make_shared<Job>(environment->executor);
  job->environment = environment;
  std::map<std::pair<const Route*, std::string>, size_t> places;
  std::vector<const Message*> objects = ObjectsOf(*route, *answer);
  auto id_of = [](const Message& object, const Expansion& expansion) {
    return object.GetReflection()->GetString(object, expansion.id);
  };
  for (const Expansion* expansion : expansions) {
    const Route* read = table->OfRpc(expansion->rpc);
    if (!rpc::Covers(context.scopes, read->scope)) continue;
    for (const Message* object : objects) {
      std::string id = id_of(*object, *expansion);
      if (!id.empty() && places.emplace(std::pair(read, id), job->wanted.size()).second)
        job->wanted.push_back({read, id, std::nullopt});
    }
  }
  context.idempotency_key.clear();
  context.if_match.clear();
  job->context = std::move(context);
  if (job->wanted.size() > kExpandObjects) {
    Violation fault{"?expand", ErrorCode::kInvalidQuery, {{"field", "expand"}}};
    fault.params["reason"] = "more than " + std::to_string(kExpandObjects) + " objects; ask for a smaller page";
    co_return Fail(Error::Of({std::move(fault)}));
  }
  int workers = std::min(kExpandCalls, static_cast<int>(job->wanted.size()));
  job->running = workers;
  for (int i = 0; i < workers; ++i) Spawn(environment->executor, Work(job), "gateway.expand");
  while (job->running > 0) {
    bool signalled = co_await job->done.Wait(std::chrono::seconds(1));
    (void)signalled;
  }
  if (job->failure) co_return std::unexpected<Error>(*std::move(job->failure));

  MILLRACE_CO_TRY(JsonValue tree, http::ParseJson(http::WriteJson(*answer)));
  JsonValue* data = route->page ? Find(&tree, route->page->name()) : nullptr;
  for (size_t i = 0; i < objects.size(); ++i) {
    JsonValue* object = route->page ? &data->items[i] : &tree;
    for (const Expansion* expansion : expansions) {
      auto place = places.find(std::pair(table->OfRpc(expansion->rpc), id_of(*objects[i], *expansion)));
      if (place == places.end() || !job->wanted[place->second].object) continue;
      PutBeside(object, *expansion, *job->wanted[place->second].object);
    }
  }
  co_return WriteTree(tree);
}

}  // namespace millrace::gateway
