/**
 * The environments of one process. The default environment is that of the configuration, with the data directory itself.
 * Each hosted environment is one more member or fallback with its own directory below it: store, log, snapshots, keys
 * and logs of their own. They share the port, the embedded broker, threads and worker processes. The registry says which
 * environments there are; this node starts and stops its own ones accordingly.
 */
import type { Config } from "../config/config.ts";
import type { EnvironmentInfo, EnvironmentRequest, Environments, OtherPreview } from "../http/environments.ts";
import { withoutPeersProblem } from "../replication/failover/fence.ts";
import { systemOfEnvironment } from "../replication/transport/environment-system.ts";
import { noteReplaced, wasReplaced, wasReplica, writePromotionNote } from "../replication/role-notes.ts";
import { hostedNodeId, nodeIdOf, nodeKeyHashesOf } from "../replication/identity.ts";
import type { Node, PromoteOptions } from "../replication/node.ts";
import { keyLookupLimit } from "../replication/replica/key-lookup.ts";
import { copyEnvironment } from "../replication/snapshots/copy-environment.ts";
import { TlsIdentity } from "../replication/tls-identity.ts";
import { SharedBroker } from "../replication/transport/shared-broker.ts";
import { descriptorLimit, lowestFreeDescriptor } from "../runtime/accepted-connections.ts";
import { mintApiKey } from "../store/keys/api-keys.ts";
import type { NodeKeyHashes } from "../store/keys/node-keys.ts";
import { operator } from "../store/log/audit-entry.ts";
import { getLogger } from "../telemetry/logger.ts";
import { metrics } from "../telemetry/metrics.ts";
import { inEnvironment } from "../telemetry/current-environment.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { sleep } from "../util/clock.ts";
import { rateLimiter } from "../util/rate-limiter.ts";
import { reasonOf } from "../util/reason.ts";
import { type ClusterSystem, realClusterSystem } from "../roles/cluster-system.ts";
import { EnvironmentAdmission } from "./admission.ts";
import { EnvironmentDirectories } from "./directories.ts";
import { EnvironmentDiscovery, noRegistryHeader } from "./discovery.ts";
import { EnvironmentListener } from "./listener.ts";
import {
  type EnvironmentIdentity,
  EnvironmentRegistry,
  registryEnvironment,
  type RegisteredEnvironment,
} from "./registry.ts";
import { type NodeOptions, startNode } from "../roles/node-loop.ts";
import { openPeople, type RunningNode } from "../roles/node-service.ts";
import { ObservedDeletions } from "./observed-deletions.ts";
import { RestoredNote } from "./restored-note.ts";
import { systemWithTls } from "../roles/tls-system.ts";

const log = getLogger("environments");

/** Between two comparisons of the registry with what runs here. */
const reconcileIntervalMs = 500;
const startsAtOnce = 8;
/** No environment starts while fewer open files are left than this number, or this share of the limit. */
const reservedDescriptorsMax = 256;
const reservedDescriptorsShare = 0.25;
/** Between two attempts to start an environment that could not be started. */
const retryMs = 10_000;
const warningIntervalMs = 60_000;
/** How long a promotion waits for environments that start. */
const promotionWaitMs = 10_000;
/** Between two looks at the directories, while the registry stays the same. */
const removalIntervalMs = 5000;
/** How long an environment may have its primary on another node than the default one before this node takes over. */
const strayMsMax = 5000;

interface HostedEnvironment {
  readonly createdMs: number;
  readonly service: RunningNode;
}

/** A new environment whose key was not shown yet, because not enough edges have acknowledged it. */
interface Creation {
  readonly entry: RegisteredEnvironment;
  readonly copyOf: string | undefined;
  readonly token: string;
}

/** An environment that could not be started. */
interface FailedStart {
  readonly reason: string;
  readonly retryAtMs: number;
}

/**
 * Starts the node of the configuration, and all environments that it hosts. AppError `conflict` names a file of TLS that
 * cannot be used.
 */
export async function startEnvironments(
  config: Config,
  system: ClusterSystem = realClusterSystem,
): Promise<RunningNode> {
  const identity = TlsIdentity.open(config, system.clock);
  const node = await new EnvironmentHost(config, systemWithTls(system, config, identity), identity).start();
  const endWatch = identity?.watch();
  return {
    ...node,
    async stop() {
      endWatch?.();
      await node.stop();
    },
  };
}

class EnvironmentHost implements Environments {
  readonly #config: Config;
  readonly #system: ClusterSystem;
  readonly #listener: EnvironmentListener;
  /** What all environments have in common, so that no limit tells which of them exist. */
  readonly #shared: Pick<NodeOptions, "people" | "keyLookups">;
  readonly #directories: EnvironmentDirectories;
  readonly #discovery: EnvironmentDiscovery;
  readonly #restored: RestoredNote;
  /** By environment. */
  readonly #hosted = new Map<string, HostedEnvironment>();
  readonly #failures = new Map<string, FailedStart>();
  /** By environment. */
  readonly #creations = new Map<string, Creation>();
  readonly #deletions: ObservedDeletions;
  /** By environment: since when it is an edge here, although this node has the primary of the default one. */
  readonly #strayFromMs = new Map<string, number>();
  readonly #strayWarnings: ReturnType<typeof rateLimiter>;
  #default: RunningNode | undefined;
  #registry: EnvironmentRegistry | undefined;
  /** Whether the registry was that of other nodes, and not restored or begun here. */
  #isTheirs = false;
  /** Whether all peers of this restored node have said that they have no registry. */
  #othersHaveNone = false;
  /** Restored environments that are served, although the registry is not here yet or cannot be written. */
  #unregistered: readonly RegisteredEnvironment[] = [];
  /** When the directories are looked at for restored environments again. */
  #nextRestoredMs = 0;
  /** Restored environments that are not served. */
  readonly #deleted = new Set<string>();
  /** Starts, stops and changes of environments happen one after another. */
  #work: Promise<unknown> = Promise.resolve();
  #pending = 0;
  #isStopped = false;
  /** Whether this node knows which environments there are. */
  #hasCompared = false;
  #cancel = (): void => {};
  /** What the registry had at the last look at the directories, a list that is the same until it changes. */
  #lookedAt: { readonly registered: readonly RegisteredEnvironment[] | undefined; readonly atMs: number } | undefined;

  constructor(config: Config, system: ClusterSystem, identity: TlsIdentity | undefined) {
    this.#config = config;
    const broker = new SharedBroker(identity);
    this.#system = { ...system, openBroker: (options) => broker.open(options) };
    this.#shared = { people: openPeople(config, system), keyLookups: keyLookupLimit(config, system.clock) };
    const admissions = new EnvironmentAdmission({
      people: this.#shared.people,
      hosted: (id) => this.#hosted.get(id)?.service,
      default: () => must(this.#default),
      isExpected: (id) => this.#isExpected(id),
      knowsAllKeys: () => this.#knowsAllKeys(),
      nodeKeyHashes: () => this.#nodeKeyHashes(),
    });
    this.#listener = new EnvironmentListener(config.environment, (id) => this.#isExpected(id), admissions, system, {
      whyIncomplete: () => this.#whyIncomplete(),
      headers: (id) => (id === registryEnvironment ? this.#noRegistryHeaders() : {}),
    });
    this.#directories = new EnvironmentDirectories(config.data);
    this.#strayWarnings = rateLimiter(warningIntervalMs, system.clock);
    this.#deletions = new ObservedDeletions(config.data, system.clock);
    this.#discovery = new EnvironmentDiscovery(config, this.#system, registryEnvironment);
    this.#restored = new RestoredNote(config.data, config.environmentsUnknown, system.clock);
  }

  async start(): Promise<RunningNode> {
    const system = { ...this.#system, serve: this.#listener.serveDefault };
    const service = await startNode(this.#config, system, {
      environments: this,
      ...this.#shared,
    });
    this.#default = service;
    this.#readRestored();
    const logged = rateLimiter(warningIntervalMs, this.#system.clock);
    const report = (error: unknown): void => {
      if (logged(reasonOf(error)) > 0)
        log.error("the environments cannot be compared with the registry: {error}", { error });
    };
    this.#serially(() => this.#reconcile()).catch(report);
    this.#cancel = this.#system.clock.every(reconcileIntervalMs, () => {
      if (this.#pending === 0) this.#serially(() => this.#reconcile()).catch(report);
    });
    return { ...service, stop: () => this.#stop() };
  }

  // What administrators of the appliance do.

  list(): readonly EnvironmentInfo[] {
    const { environment } = this.#config;
    if (this.#registry === undefined && this.#directories.hasStore(registryEnvironment))
      throw new AppError("not_ready", "this node is starting its environments: ask again in a moment");
    const own = hereOf(must(this.#default).node());
    const first: EnvironmentInfo = {
      id: environment,
      name: environment,
      createdMs: undefined,
      isDefault: true,
      here: own,
    };
    const others = [...(this.#registry?.entries() ?? []), ...this.#unregistered].map((entry): EnvironmentInfo => {
      const { id, name, createdMs, deletedMs } = entry;
      const hosted = this.#hosted.get(id);
      const failure = deletedMs === undefined ? this.#problemOf(id) : undefined;
      return {
        ...{ id, name, createdMs, deletedMs, isDefault: false },
        ...(deletedMs !== undefined && { finalMs: this.#finalMs(deletedMs) }),
        ...(hosted !== undefined && { here: hereOf(hosted.service.node()) }),
        ...(failure !== undefined && { failure }),
      };
    });
    return [first, ...others];
  }

  create(request: EnvironmentRequest) {
    return this.#serially(() => this.#create(request));
  }

  async #create({ id, name, copyOf, again }: EnvironmentRequest) {
    const registry = await this.#requireRegistry();
    const entries = must(registry.entries());
    const { environmentsMax } = this.#config.limits;
    const present = entries.find((entry) => entry.id === id);
    const begun = this.#creations.get(id);
    // The same request again: it is done only once.
    if (begun !== undefined && isOf(begun, present) && isActiveAs(name, present) && begun.copyOf === copyOf)
      return this.#finish(registry, begun);
    if (id === this.#config.environment) throw new AppError("conflict", `there is an environment \`${id}\` already`);
    if (present !== undefined && again && present.deletedMs === undefined) await this.#requireNoData(id);
    else if (present !== undefined) throw new AppError("conflict", this.#takenMessage(present));
    else if (entries.length >= environmentsMax)
      throw new AppError(
        "conflict",
        `there are ${entries.length} environments already, at most ${environmentsMax} are allowed (\`advanced.environmentsMax\`)`,
      );
    const source = copyOf === undefined ? undefined : this.#requireActive(copyOf).engine().path;
    const createdMs = this.#newCreationMs(registry, id);
    const data = this.#directories.pathOf(id);
    const { text: token } = mintApiKey(id);
    const creation: Creation = { entry: { id, name, createdMs, deletedMs: undefined }, copyOf, token };
    await this.#close(id);
    this.#directories.prepareNew(creation.entry);
    let service: RunningNode | undefined;
    let failure: unknown;
    try {
      const { limits } = this.#config;
      const copy = { environment: id, data, limits, system: this.#system };
      if (source !== undefined) await copyEnvironment(copy, source);
      if (this.#isStopped) throw new AppError("not_ready", "this node is shutting down");
      service = await this.#startHosted(id, { adminKey: token });
      await registry.put(creation.entry, present);
    } catch (error) {
      // The registry may have the environment nevertheless.
      if (service === undefined || !isOf(creation, registry.find(id))) {
        await service?.stop();
        this.#directories.remove(id);
        throw error;
      }
      failure = error;
    }
    this.#hosted.set(id, { createdMs, service });
    this.#failures.delete(id);
    this.#creations.set(id, creation);
    if (failure !== undefined) throw failure;
    return this.#finish(registry, creation);
  }

  /** Waits until enough edges have the entry of the new environment, and its first event. AppError `not_ready`. */
  async #finish(registry: EnvironmentRegistry, { entry: { id }, token }: Creation) {
    await registry.awaitEdges(id);
    const { writes } = this.#requireActive(id);
    if (writes === undefined) throw notPrimaryError(id);
    await inEnvironment(id, () => writes.batch([], { traceparent: null }));
    this.#directories.markRegistered(id);
    this.#creations.delete(id);
    log.info("the environment {id} was created", { id });
    return { info: must(this.list().find((info) => info.id === id)), token };
  }

  abandon(id: string): Promise<void> {
    return this.#serially(async () => {
      const present = this.#registry;
      if (present?.find(id) === undefined && present?.isUnacknowledged(id) === true) return present.awaitEdges(id);
      const [registry, entry] = this.#requireEntry(id);
      if (entry.deletedMs !== undefined) throw new AppError("conflict", this.#takenMessage(entry));
      await this.#requireNoData(id);
      await registry.forget(entry);
      log.warning("the environment {id} was abandoned: its data never arrived at this node", { id });
    });
  }

  complete(): Promise<void> {
    return this.#serially(async () => {
      if (!this.#isPrimary) throw new AppError("not_ready", "this node is not the primary any more, try again");
      this.#restored.end();
      await this.#reconcile();
      if (this.#registry === undefined) this.#restored.remove();
      if (this.#registry?.incompleteUntilMs !== undefined) await this.#registry.markIncomplete(undefined);
    });
  }

  incompleteUntilMs(): number | undefined {
    const untilMs = this.#restored.untilMs ?? this.#registry?.incompleteUntilMs;
    return untilMs !== undefined && untilMs > this.#system.clock.wallMs() ? untilMs : undefined;
  }

  rename(id: string, name: string): Promise<void> {
    return this.#serially(async () => {
      const [registry, entry] = this.#requireEntry(id);
      if (entry.deletedMs !== undefined) throw new AppError("conflict", this.#takenMessage(entry));
      await registry.put({ ...entry, name });
    });
  }

  delete(id: string): Promise<{ readonly finalMs: number }> {
    return this.#serially(async () => {
      if (id === this.#config.environment)
        throw new AppError("conflict", `\`${id}\` is the default environment of this appliance, it cannot be deleted`);
      const [registry, entry] = this.#requireEntry(id);
      if (entry.deletedMs !== undefined && !registry.isUnacknowledged(id))
        throw new AppError("conflict", this.#takenMessage(entry));
      const deletedMs = entry.deletedMs ?? this.#system.clock.wallMs();
      await registry.put({ ...entry, deletedMs });
      await this.#close(id);
      log.info("the environment {id} was deleted", { id });
      return { finalMs: this.#finalMs(deletedMs) };
    });
  }

  restore(id: string): Promise<void> {
    return this.#serially(async () => {
      if (await this.#takeBack(id)) return this.#reconcile();
      const [registry, entry] = this.#requireEntry(id);
      if (entry.deletedMs === undefined && !registry.isUnacknowledged(id))
        throw new AppError("conflict", `the environment \`${id}\` is not deleted, nothing was changed`);
      await registry.put({ ...entry, deletedMs: undefined });
      await this.#reconcile();
    });
  }

  /** Registers an environment with restored data whose deletion was final. Returns false if there is none. */
  async #takeBack(id: string): Promise<boolean> {
    const restored = this.#directories.restored().find((each) => each.id === id);
    if (restored?.createdMs === undefined || this.#registry === undefined || this.#registry.find(id) !== undefined)
      return false;
    await this.#registry.put({ id, name: id, createdMs: restored.createdMs, deletedMs: undefined });
    return true;
  }

  async createKey(id: string, requestId: string) {
    if (id === this.#config.environment)
      throw new AppError("conflict", `\`${id}\` is the default environment: create its keys with \`POST /api/keys\``);
    const { writes, audit } = this.#requireActive(id);
    if (writes === undefined) throw notPrimaryError(id);
    const [registry] = this.#requireEntry(id);
    // A key is of no use if a successor of this node does not know the environment.
    if (registry.isUnacknowledged(id)) await registry.awaitEdges(id);
    const { id: keyId, text: token, hash } = mintApiKey(id);
    const secret = { id: keyId, name: "admin", role: "admin", hash, timeMs: this.#system.clock.wallMs() } as const;
    const draft = { action: "key.create", actor: operator(), target: keyId, requestId } as const;
    const { name, role } = secret;
    const meta = { traceparent: null, audit: audit.metaOf({ ...draft, details: { name, role } }) };
    const change = { add: [secret], remove: [], keysMax: this.#config.limits.apiKeysMax };
    await inEnvironment(id, () => writes.keys(change, meta));
    return { keyId, token };
  }

  async backUp(id: string, requestId: string): Promise<Response> {
    const node = id === registryEnvironment ? this.#registry?.service.node() : this.#requireActive(id);
    if (node === undefined) throw new AppError("not_found", "this node has no list of environments");
    const response = await inEnvironment(id, () => node.backup());
    const draft = { action: "backup.download", actor: operator(), requestId } as const;
    if (id !== this.#config.environment) node.audit.record({ ...draft, target: node.id });
    return response;
  }

  async promoteOthers(options: PromoteOptions) {
    // An edge that has just started does not run all of them yet.
    await Promise.race([this.#work, sleep(this.#system.clock, promotionWaitMs)]);
    const late = (this.#registry?.entries() ?? []).filter(
      (each) => this.#isFollowed(each) && !this.#hosted.has(each.id),
    );
    const failures = await Promise.all(
      this.#promotable().map(async ([id, service]) => {
        try {
          await promoteIn(id, service, options);
          return [];
        } catch (error) {
          return [{ id, reason: reasonOf(error) }];
        }
      }),
    );
    return [
      ...failures.flat(),
      ...late.map(({ id }) => ({ id, reason: this.#problemOf(id) ?? "it has not started yet" })),
    ];
  }

  async previewOthers(options: PromoteOptions) {
    const reasons = options.force ? [] : [withoutPeersProblem];
    const ofReplaced: OtherPreview = { reasons, warnings: [], missingEvents: 0, lostEvents: undefined };
    const previews = this.#promotable().map(async ([id, service]) => {
      const preview = await inEnvironment(id, () => service.node().previewPromotion?.(options));
      return [id, preview ?? ofReplaced] as const;
    });
    return Promise.all(previews);
  }

  #promotable() {
    return this.#services().filter(([, service]) => service.node().promote !== undefined);
  }

  /** What runs here besides the default environment, the registry first. */
  #services(): (readonly [id: string, service: RunningNode])[] {
    const hosted = [...this.#hosted].map(([id, { service }]) => [id, service] as const);
    return this.#registry === undefined ? hosted : [[registryEnvironment, this.#registry.service], ...hosted];
  }

  /** The node of an active environment, also the default one. */
  #requireActive(id: string): Node {
    const service = id === this.#config.environment ? this.#default : this.#hosted.get(id)?.service;
    if (service === undefined) throw new AppError("not_found", `there is no active environment \`${id}\` on this node`);
    return service.node();
  }

  #requireEntry(id: string): readonly [EnvironmentRegistry, RegisteredEnvironment] {
    const entry = this.#registry?.find(id);
    if (this.#registry === undefined || entry === undefined)
      throw new AppError("not_found", `there is no environment \`${id}\``);
    return [this.#registry, entry];
  }

  /** Two environments with one id were never created at the same time, even if the clock was set back. */
  #newCreationMs(registry: EnvironmentRegistry, id: string): number {
    const earlier = [...must(registry.entries()), ...registry.removed].filter((each) => each.id === id);
    return Math.max(this.#system.clock.wallMs(), ...earlier.map(({ createdMs }) => createdMs + 1));
  }

  /** Whether this node follows the environment, but never got its data. */
  #isMissing(id: string): boolean {
    const hosted = this.#hosted.get(id);
    if (hosted === undefined && !this.#failures.has(id)) return false;
    return hosted?.service.node().state() === undefined && !this.#directories.hasStore(id);
  }

  /** Why this node cannot serve an active environment. Undefined if nothing is known. */
  #problemOf(id: string): string | undefined {
    if (this.#failures.has(id)) return this.#failures.get(id)?.reason;
    return this.#isPrimary && this.#isMissing(id) ? missingMessage(id) : undefined;
  }

  /** AppError `conflict` if this node or another one that answers has data of the environment. */
  async #requireNoData(id: string): Promise<void> {
    if (!this.#isMissing(id))
      throw new AppError("conflict", `this node has data of the environment \`${id}\`, nothing was changed`);
    if ((await new EnvironmentDiscovery(this.#config, this.#system, id).find()) === true)
      throw new AppError(
        "conflict",
        `another node has the data of the environment \`${id}\`, nothing was changed: this node fetches them`,
      );
  }

  #takenMessage({ id, deletedMs }: RegisteredEnvironment): string {
    if (deletedMs !== undefined)
      return `the environment \`${id}\` is deleted, but not finally: restore it (\`ostiary env restore ${id}\`), or wait`;
    const problem = this.#problemOf(id);
    return `there is an environment \`${id}\` already${problem === undefined ? "" : `, but ${problem}`}`;
  }

  /** The first environment begins the registry, on the node that has the primary of the default environment. */
  async #requireRegistry(): Promise<EnvironmentRegistry> {
    if (!this.#isPrimary) throw new AppError("not_ready", "this node is not the primary any more, try again");
    if (
      this.#registry === undefined &&
      this.#restored.untilMs !== undefined &&
      !this.#restored.isOver &&
      !this.#othersHaveNone
    )
      throw new AppError(
        "not_ready",
        "this node was restored from a backup, and not all nodes in `peers` have said whether they have other environments: start them, or run `ostiary env complete` if there are no others",
      );
    this.#registry ??= await this.#beginRegistry();
    if (this.#registry.entries() === undefined)
      throw new AppError("not_ready", "this node does not have the registry of environments yet, try again");
    return this.#registry;
  }

  async #beginRegistry(): Promise<EnvironmentRegistry> {
    this.#directories.prepare({ id: registryEnvironment, createdMs: this.#system.clock.wallMs() });
    // Until it says until when it may lack environments.
    if (this.#restored.untilMs !== undefined) this.#directories.markRestored(registryEnvironment);
    const adminKey = mintApiKey(registryEnvironment).text;
    const service = await this.#startHosted(registryEnvironment, { adminKey });
    return new EnvironmentRegistry(service);
  }

  // What this node runs.

  /** Whether this node should answer requests for the environment, although it does not now. */
  #isExpected(id: string): boolean {
    if (this.#isStopped || !this.#hasCompared) return true;
    if (this.#registry === undefined) return false;
    const entries = this.#registry.entries();
    const entry = entries?.find((each) => each.id === id);
    if (entries === undefined || entry === undefined)
      return entries === undefined || this.incompleteUntilMs() !== undefined;
    return this.#isFollowed(entry);
  }

  #whyIncomplete(): string | undefined {
    const untilMs = this.incompleteUntilMs();
    if (untilMs === undefined) return undefined;
    const until = new Date(untilMs).toISOString();
    return `this key is of an environment that this node does not know, or is not valid there: the node was restored from backups, and does not know until ${until} whether it has all environments (\`ostiary env list\` shows them). Restore the missing ones, or start the nodes that have them and name them in \`peers\`; if there are no others, run \`ostiary env complete\``;
  }

  /** Whether this node has the environment: it is active, and one of the configuration. */
  #isFollowed({ id, deletedMs }: RegisteredEnvironment): boolean {
    return deletedMs === undefined && (this.#config.environments?.includes(id) ?? true);
  }

  /** Whether this node knows all environments, and all of its own run and have a database, which has their keys. */
  #knowsAllKeys(): boolean {
    if (this.#isStopped || !this.#hasCompared || this.incompleteUntilMs() !== undefined) return false;
    const entries = this.#registry === undefined ? [] : this.#registry.entries();
    return entries?.every((entry) => !this.#isFollowed(entry) || hasDatabase(this.#hosted.get(entry.id))) === true;
  }

  async #openRegistry(): Promise<true> {
    this.#registry = new EnvironmentRegistry(await this.#startHosted(registryEnvironment));
    return true;
  }

  /** Starts, stops and removes environments as the registry says, and those that `ostiary restore` has put here. */
  async #reconcile(): Promise<void> {
    if (this.#isStopped) return;
    this.#hasCompared = this.#registry !== undefined || (await this.#findRegistry());
    const registry = this.#registry;
    if (registry !== undefined) {
      if (registry.entries() === undefined) return;
      await this.#recordIncomplete(registry);
    }
    this.#unregistered = await this.#adoptRestored();
    const entries = [...(registry?.entries() ?? []), ...this.#unregistered];
    await this.#startMissing(entries);
    for (const [id, { createdMs }] of this.#hosted) {
      const entry = entries.find((each) => each.id === id);
      if (entry?.createdMs !== createdMs || entry.deletedMs !== undefined) await this.#close(id);
    }
    await this.#takeOverStrays();
    if (this.#hasCompared) await this.#removeDeleted(entries);
  }

  /** Several at once, since a start waits for the disk and for other nodes. */
  async #startMissing(entries: readonly RegisteredEnvironment[]): Promise<void> {
    const nowMs = this.#system.clock.monotonicMs();
    const followed = entries.filter((entry) => this.#isFollowed(entry));
    const followedIds = new Set(followed.map(({ id }) => id));
    for (const id of this.#failures.keys()) if (!followedIds.has(id)) this.#failures.delete(id);
    const missing = followed.filter(
      (entry) =>
        this.#hosted.get(entry.id)?.createdMs !== entry.createdMs &&
        (this.#failures.get(entry.id)?.retryAtMs ?? 0) <= nowMs,
    );
    const startNext = async (): Promise<void> => {
      for (let entry = missing.shift(); entry !== undefined && !this.#isStopped; entry = missing.shift())
        await this.#startRegistered(entry);
    };
    await Promise.all(Array.from({ length: startsAtOnce }, startNext));
    metrics.environmentsFailed.set(this.#failures.size);
    metrics.environmentsMissing.set(followed.filter(({ id }) => this.#isMissing(id)).length);
  }

  async #startRegistered({ id, createdMs }: RegisteredEnvironment): Promise<void> {
    try {
      if (this.#hosted.has(id)) await this.#close(id);
      this.#directories.prepare({ id, createdMs });
      this.#hosted.set(id, { createdMs, service: await this.#startHosted(id) });
      this.#failures.delete(id);
    } catch (error) {
      const reason = reasonOf(error);
      const isNew = this.#failures.get(id)?.reason !== reason;
      this.#failures.set(id, { reason, retryAtMs: this.#system.clock.monotonicMs() + retryMs });
      if (isNew) log.error("the environment {id} cannot be started, and is tried again: {error}", { id, error });
    }
  }

  /**
   * The primary makes deletions final, when it has observed that the time is over. With that event, each node removes its
   * data of them, and what an interrupted creation has left.
   */
  async #removeDeleted(entries: readonly RegisteredEnvironment[]): Promise<void> {
    const registry = this.#registry;
    this.#deletions.observe(entries);
    if (registry?.isPrimary === true)
      for (const entry of entries)
        if (entry.deletedMs !== undefined && this.#deletions.observedMs(entry) >= this.#config.environmentGrace)
          await registry.remove(entry);
    const [registered, atMs] = [registry?.entries(), this.#system.clock.monotonicMs()];
    const last = this.#lookedAt;
    if (last !== undefined && last.registered === registered && atMs < last.atMs + removalIntervalMs) return;
    this.#lookedAt = { registered, atMs };
    this.#directories.sweep({ kept: entries, removed: registry?.removed ?? [] });
  }

  /** Whether this node has the primary of the default environment. */
  get #isPrimary(): boolean {
    return must(this.#default).node().role === "primary";
  }

  /** Notices what `ostiary restore` has put here. A list of environments that was not restored knows them all. */
  #readRestored(): void {
    if (!this.#isPrimary) return;
    const hasList = this.#directories.hasStore(registryEnvironment);
    this.#restored.read();
    const isRestored = this.#restored.untilMs !== undefined;
    if (hasList && !this.#directories.isRestored(registryEnvironment)) return this.#restored.remove();
    if (!hasList && isRestored) this.#directories.markAllRestored();
    if (!hasList && !isRestored && this.#directories.restored().length === 0) return;
    if (!isRestored) this.#restored.begin();
    const reason = this.#whyIncomplete();
    if (reason !== undefined) log.warning("keys of unknown environments are refused with 503: {reason}", { reason });
  }

  /**
   * Opens the registry if this node or another one has it. Returns whether this node knows whether there is one.
   *
   * A restored registry may be older than that of the other nodes, which knows what was created and deleted since. So this
   * node takes theirs, and opens or begins its own one only if each of them has none, or the time for that is over.
   */
  async #findRegistry(): Promise<boolean> {
    const isRestored = this.#isPrimary && this.#restored.untilMs !== undefined;
    const hasStore = this.#directories.hasStore(registryEnvironment);
    if (hasStore && !isRestored) return this.#openRegistry();
    if (this.#isPrimary && !isRestored && (this.#config.role === "primary" || this.#hasCompared)) return true;
    const found = await this.#discovery.find(isRestored);
    if (found !== undefined) this.#othersHaveNone = found === false;
    if (found === true) {
      if (hasStore) this.#directories.remove(registryEnvironment);
      this.#directories.prepare({ id: registryEnvironment, createdMs: 0 });
      this.#isTheirs = true;
      return this.#openRegistry();
    }
    if (!isRestored) return found === undefined ? this.#hasCompared : found === false;
    if (found === undefined && !this.#restored.isOver) return false;
    if (hasStore) return this.#openRegistry();
    if (this.#directories.restored().length > 0) {
      this.#registry = await this.#beginRegistry();
      return true;
    }
    // The note stays: the nodes that have environments may be named in `peers` later.
    return this.#restored.isOver;
  }

  /** A restored registry is not for other nodes before this one has asked them. */
  #noRegistryHeaders(): Readonly<Record<string, string>> {
    const has = this.#directories.hasStore(registryEnvironment) && !this.#directories.isRestored(registryEnvironment);
    const role = this.#default?.node().role;
    return has || role === undefined ? {} : { [noRegistryHeader]: role };
  }

  /** The registry of other nodes has all environments. One that this node restored or began says until when it may not. */
  async #recordIncomplete(registry: EnvironmentRegistry): Promise<void> {
    const { untilMs } = this.#restored;
    if (untilMs === undefined) return;
    if (!this.#isTheirs) {
      if (!registry.isPrimary) return;
      await committed(registry.markIncomplete(this.#restored.isOver ? undefined : untilMs));
    }
    this.#directories.markAccepted(registryEnvironment);
    this.#restored.remove();
  }

  /** Adds restored environments to the registry. Returns those that it does not have yet. */
  async #adoptRestored(): Promise<readonly RegisteredEnvironment[]> {
    const nowMs = this.#system.clock.monotonicMs();
    if (!this.#isPrimary || nowMs < this.#nextRestoredMs) return this.#unregistered;
    const restored = this.#directories.restored();
    if (restored.length === 0) this.#nextRestoredMs = nowMs + removalIntervalMs;
    const registry = this.#registry;
    const missing: RegisteredEnvironment[] = [];
    for (const { id, createdMs = this.#system.clock.wallMs() } of restored) {
      const entry = registry?.find(id);
      const isRemoved = registry?.removed.some((each) => each.id === id && each.createdMs >= createdMs) === true;
      if (entry?.deletedMs !== undefined || (entry === undefined && isRemoved)) this.#warnOfDeleted(id);
      else if (entry === undefined) missing.push({ id, name: id, createdMs, deletedMs: undefined });
      else if (this.#hosted.get(id)?.createdMs === entry.createdMs) this.#directories.markAccepted(id);
    }
    if (registry?.isPrimary !== true) return missing;
    for (const entry of missing) {
      this.#directories.prepare(entry);
      await committed(registry.put(entry));
      log.warning("the restored environment {id} was unknown, and is served again", { id: entry.id });
    }
    return [];
  }

  #warnOfDeleted(id: string): void {
    if (this.#deleted.has(id)) return;
    this.#deleted.add(id);
    log.warning(
      "the restored environment {id} was deleted after its backup, so it is not served: `ostiary env restore {id}` undoes the deletion",
      { id },
    );
  }

  /** The primaries of all environments belong on the node that has the primary of the default one. */
  async #takeOverStrays(): Promise<void> {
    if (must(this.#default).node().health().state !== "PRIMARY") return;
    const nowMs = this.#system.clock.monotonicMs();
    const takeOver = async ([id, service]: readonly [id: string, service: RunningNode]): Promise<void> => {
      const node = service.node();
      const fromMs = this.#strayFromMs.get(id) ?? nowMs;
      if (node.role !== "edge") return void this.#strayFromMs.delete(id);
      if (nowMs < fromMs + strayMsMax) return void this.#strayFromMs.set(id, fromMs);
      this.#strayFromMs.set(id, nowMs);
      try {
        await promoteIn(id, service, { force: false, graceful: true, automatic: true });
      } catch (error) {
        const reason = this.#problemOf(id) ?? reasonOf(error);
        if (this.#strayWarnings(id) > 0)
          log.warning("this node cannot be the primary of {id} for now: {reason}", { id, reason });
      }
    };
    await Promise.all(this.#services().map(takeOver));
  }

  /**
   * Starts an environment in the role of this node. A node without data of it becomes an edge, unless it `begins` the
   * environment.
   */
  async #startHosted(id: string, begins?: { readonly adminKey: string }): Promise<RunningNode> {
    requireDescriptors();
    const { role: own, peers, primary } = this.#config;
    const data = this.#directories.pathOf(id);
    const isPrimary = begins !== undefined || (own === "primary" && this.#directories.hasStore(id));
    const isNewEdge = own === "primary" && !isPrimary;
    if (isNewEdge && primary === undefined && peers.length === 0) throw new AppError("not_ready", missingMessage(id));
    const config: Config = {
      ...this.#config,
      ...(isNewEdge && { role: "edge" as const, primary: primary ?? peers[0] }),
      ...{ environment: id, data, adminKey: begins?.adminKey, nodeId: hostedNodeId(nodeIdOf(this.#config), id) },
      ...(id === registryEnvironment && this.#registrySettings()),
    };
    const system: ClusterSystem = {
      ...systemOfEnvironment(this.#system, id),
      serve: (options) => this.#listener.serveHosted(id, options),
    };
    const options: NodeOptions = {
      isHosted: true,
      nodeKeyHashes: this.#nodeKeyHashes(),
      ...this.#shared,
      begins: begins && (id === registryEnvironment ? "once" : "anew"),
    };
    // A successor of the default environment is that of all, also if it ended before this one could notice it.
    const isLed = begins === undefined && this.#directories.hasStore(id) && !wasReplica(data);
    if (isLed && wasReplaced(this.#config.data)) noteReplaced(data);
    // A promoted edge is the primary of this environment after a restart as well.
    if (isPrimary && own === "edge") writePromotionNote(data);
    return inEnvironment(id, () => startNode(config, system, options));
  }

  /** Limits of questions of clients do not concern this node, which reads all entries. */
  #registrySettings(): Pick<Config, "limits"> {
    const [servingThreadAnswerValuesMax, servingThreadQueryRowsMax] = [
      Number.MAX_SAFE_INTEGER,
      Number.MAX_SAFE_INTEGER,
    ];
    return { limits: { ...this.#config.limits, servingThreadAnswerValuesMax, servingThreadQueryRowsMax } };
  }

  #nodeKeyHashes(): NodeKeyHashes | undefined {
    return nodeKeyHashesOf(this.#config) ?? must(this.#default).node().nodeKeyHashes;
  }

  async #close(id: string): Promise<void> {
    const hosted = this.#hosted.get(id);
    this.#hosted.delete(id);
    this.#strayFromMs.delete(id);
    await hosted?.service.stop();
  }

  #finalMs(deletedMs: number): number {
    return deletedMs + this.#config.environmentGrace;
  }

  async #serially<T>(body: () => Promise<T>): Promise<T> {
    this.#pending += 1;
    const done = this.#work.then(body).finally(() => (this.#pending -= 1));
    this.#work = done.catch(() => {});
    return done;
  }

  async #stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel();
    // A copy of a large environment may take longer. The next start removes what it leaves.
    await Promise.race([this.#work, sleep(this.#system.clock, this.#config.limits.stopGraceMs)]);
    const stops = await Promise.allSettled(this.#services().map(([, service]) => service.stop()));
    for (const stop of stops)
      if (stop.status === "rejected") log.error("an environment did not stop cleanly: {error}", { error: stop.reason });
    await must(this.#default).stop();
  }
}

/** AppError `not_ready`: the open files that are left are for the connections and files of the present environments. */
function requireDescriptors(): void {
  const limit = descriptorLimit() ?? Number.POSITIVE_INFINITY;
  const left = limit - (lowestFreeDescriptor() ?? limit);
  if (left >= Math.min(reservedDescriptorsMax, limit * reservedDescriptorsShare)) return;
  throw new AppError(
    "not_ready",
    `this node may open only ${limit} files, too few for one more environment: raise the limit (\`ulimit -n\`, \`LimitNOFILE\`)`,
  );
}

/** The primary that begins works for the environment, not for the one whose request or timer asks for the promotion. */
async function promoteIn(id: string, service: RunningNode, options: PromoteOptions): Promise<void> {
  // The edge may have ended meanwhile.
  await inEnvironment(id, () => service.node().promote?.(options));
}

function hasDatabase(hosted: HostedEnvironment | undefined): boolean {
  try {
    return hosted?.service.node().engine() !== undefined;
  } catch {
    return false;
  }
}

/** Edges that have nothing yet cannot acknowledge what this node has restored. */
async function committed(write: Promise<void>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!(error instanceof AppError && error.mayBeDone)) throw error;
  }
}

function hereOf(node: Node): EnvironmentInfo["here"] {
  const { ok, offset } = node.health();
  return { role: node.role, offset, isReady: ok };
}

const missingMessage = (id: string): string =>
  `its data never arrived at this node, which fetches them as soon as a node answers that has them: start that one, restore a backup of it, begin it again (\`ostiary env create ${id} --again\`), or abandon it (\`ostiary env abandon ${id}\`)`;

const isActiveAs = (name: string, entry: RegisteredEnvironment | undefined): boolean =>
  entry?.name === name && entry.deletedMs === undefined;

/** Whether the registry has the environment that was created. */
function isOf({ entry }: Creation, registered: EnvironmentIdentity | undefined): boolean {
  return registered?.createdMs === entry.createdMs;
}

function notPrimaryError(id: string): AppError {
  return new AppError("not_ready", `another node has the primary of the environment \`${id}\`, try again`);
}
