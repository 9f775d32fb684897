/** The overview: problems first, then this node, its last hour, and its environments. */
import type { ComponentChildren } from "preact";
import { ApiError, silentSinceMs } from "../api/node-api.ts";
import type { Nodes } from "../api/cluster.ts";
import { samplesOf } from "../api/metrics-text.ts";
import type { Environment, Health, MetricsHistory } from "../api/responses.ts";
import { formatAge } from "../components/age.ts";
import { formatDuration, formatNumber } from "../components/format.ts";
import { Heading } from "../components/heading.tsx";
import { Properties } from "../components/properties.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Remote } from "../components/remote.tsx";
import { freshnessOf, type Support } from "../overview/freshness.ts";
import { Time } from "../components/time.tsx";
import { extended, historyPath, latest } from "../overview/history.ts";
import { nodeProblemsOf } from "../overview/node-problems.ts";
import { NodeTable } from "../overview/node-table.tsx";
import { type Problem, problemsOf } from "../overview/problems.ts";
import { EmptyNotice } from "../start/empty-notice.tsx";
import { useCode } from "../state/code.ts";
import type { RemoteData } from "../state/loaded.ts";
import { useNow } from "../state/now.ts";
import { usePolled } from "../state/polled.ts";
import { call, shownLogin, may } from "../state/session.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";
import { nodeTexts } from "../texts/nodes.ts";
import { overviewTexts } from "../texts/overview.ts";

const words = overviewTexts;
/** How often each answer is wanted, how long the node may take for it, and how long it supports a statement. */
const health = pollOf(2000, 2000);
const nodes = pollOf(3000, 3000);
const other = pollOf(5000, 3000);

function pollOf(intervalMs: number, timeoutMs: number) {
  return { intervalMs, limits: { timeoutMs, triesMax: 1 }, freshMsMax: intervalMs + timeoutMs + 1000 };
}

export default function OverviewScreen() {
  const login = shownLogin();
  const key = login && `${login.who.environment} ${login.who.id}`;
  const ownHealth = usePolled(
    key,
    health.intervalMs,
    (signal) => call("/healthcheck", { signal, ...health.limits, acceptsNotReady: true }) as Promise<Health>,
  );
  const history = usePolled<MetricsHistory>(key, other.intervalMs, async (signal, last) =>
    extended(last, (await call(historyPath(last), { signal, ...other.limits })) as MetricsHistory),
  );
  // Only the default environment may read what concerns all environments. Others get 403, which is no problem to show.
  const metrics = usePolled(
    key,
    other.intervalMs,
    (signal) => call("/metrics", { signal, ...other.limits }) as Promise<string>,
  );
  const environments = usePolled(may(login, "admin") ? key : undefined, other.intervalMs, async (signal) => {
    const answer = await call("/api/environments", { signal, ...other.limits });
    return (answer as { readonly environments: readonly Environment[] }).environments;
  });
  const allNodes = usePolled(
    key,
    nodes.intervalMs,
    (signal) => call("/api/nodes", { signal, ...nodes.limits }) as Promise<Nodes>,
  );
  const ownProblems = problemsOf({
    health: ownHealth.data,
    environments: environments.data,
    storageOk: flagIn(metrics.data, "ostiary_storage_ok"),
    hasForeignHistory: flagIn(metrics.data, "ostiary_foreign_history"),
    errorsPerSecond: latest(history.data, "errors_per_second"),
  });
  const problems = [...ownProblems, ...nodeProblemsOf(allNodes.data)].toSorted(worstFirst);
  const supports = [
    { ...ownHealth, ...health },
    { ...allNodes, ...nodes },
    ...[history, metrics, environments].filter(isForThisLogin).map((answer) => ({ ...answer, ...other })),
  ];
  return (
    <>
      <Heading text={words.title} />
      {login && <EmptyNotice environment={login.who.environment} />}
      <Problems problems={problems} supports={supports} />
      <Section title={words.thisNode}>
        <Remote of={ownHealth} freshMsMax={health.freshMsMax} lines={6}>
          {(data) => <NodeFacts health={data} metrics={metrics.data} isDefault={metrics.data !== undefined} />}
        </Remote>
      </Section>
      <Section title={nodeTexts.title}>
        <p class="help">{nodeTexts.help}</p>
        <Remote of={allNodes} freshMsMax={nodes.freshMsMax}>
          {(data) => <NodeTable listed={data} />}
        </Remote>
      </Section>
      <Section title={words.lastHour}>
        <p class="help">{words.lastHourHelp}</p>
        <Remote of={history} freshMsMax={other.freshMsMax} lines={8}>
          {(data) => <Charts history={data} />}
        </Remote>
      </Section>
      {environments.data && environments.data.length > 1 && (
        <Section title={words.environments}>
          <Remote of={environments} freshMsMax={other.freshMsMax}>
            {(data) => <EnvironmentTable environments={data} />}
          </Remote>
        </Section>
      )}
    </>
  );
}

/** Whether the node did not refuse it, and has it. */
function isForThisLogin({ error, atMs, isLoading }: RemoteData<unknown>): boolean {
  if (error instanceof ApiError && (error.status === 403 || error.status === 404)) return false;
  // What is not asked for never comes.
  return isLoading || atMs !== undefined || error !== undefined;
}

function worstFirst(one: Problem, other: Problem): number {
  return Number(other.severity === "error") - Number(one.severity === "error");
}

function Section({ title, children }: { readonly title: string; readonly children: ComponentChildren }) {
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/**
 * Only fresh answers can tell that there is no problem. Screen readers hear how many there are, not each change of a
 * number in one of them.
 */
function Problems({ problems, supports }: { readonly problems: readonly Problem[]; readonly supports: Support[] }) {
  const nowMs = useNow(true);
  const isSilent = useStore(silentSinceMs) !== undefined;
  const freshness = freshnessOf(supports, nowMs, isSilent);
  const isFresh = freshness === "fresh";
  const count = problems.length > 0 ? words.problemCount(problems.length) : words.noProblems;
  return (
    <Section title={words.problems}>
      <p class={isFresh && problems.length === 0 ? "good" : ""}>
        <span role="status">{isFresh ? count : freshness === "loading" ? texts.loading : words.noFreshAnswer}</span>{" "}
        {typeof freshness === "object" && words.noFreshAnswerFor(formatAge(freshness.oldestMs, nowMs))}
      </p>
      {problems.length > 0 && (
        <ul class={isFresh ? "problems" : "problems stale"}>
          {problems.map(({ severity, title, remedy }) => (
            <li key={title} class={severity}>
              <strong>{title}</strong>
              <p>{remedy}</p>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function NodeFacts(props: {
  readonly health: Health;
  readonly metrics: string | undefined;
  readonly isDefault: boolean;
}) {
  const { health, metrics, isDefault } = props;
  const { facts } = words;
  const version = metrics === undefined ? undefined : samplesOf(metrics, "ostiary_node_info")[0]?.labels["version"];
  const storedFacts = metrics === undefined ? undefined : samplesOf(metrics, "ostiary_stored_facts")[0]?.value;
  const brokers = health.brokers.map(({ broker, connected }) =>
    connected ? facts.connected(broker) : facts.disconnected(broker),
  );
  const rows: readonly (readonly [string, string | undefined])[] = [
    [facts.node, health.node],
    [facts.role, health.role],
    [facts.state, words.states[health.state] ?? health.state],
    [facts.version, version],
    [
      facts.position,
      health.offset === null ? undefined : facts.positionOf(formatNumber(health.offset), String(health.term ?? 0)),
    ],
    [
      facts.age,
      health.age_ms === null || health.role === "primary" ? undefined : facts.ageOf(formatDuration(health.age_ms)),
    ],
    [facts.visible, formatted(health.commit_to_visible_ms, formatDuration)],
    [facts.brokers, brokers.join(", ") || facts.noBroker],
    [facts.storedFacts, storedFacts === undefined ? undefined : formatNumber(storedFacts)],
  ];
  return (
    <>
      {!isDefault && <p class="help">{words.defaultNode}</p>}
      <Properties of={rows} />
    </>
  );
}

/** Their code is larger than that of all other parts, and is loaded when there is something to draw. */
function Charts(props: { readonly history: MetricsHistory }) {
  const code = useCode("charts", () => import("../overview/charts.tsx"));
  return (
    <Remote of={code} isTimeless lines={8}>
      {({ default: Loaded }) => <Loaded {...props} />}
    </Remote>
  );
}

function EnvironmentTable({ environments }: { readonly environments: readonly Environment[] }) {
  const { columns, environmentStates } = words;
  const stateOf = ({ state, final = "", role, ready }: Environment): ComponentChildren => {
    if (state === "deleted")
      return (
        <>
          {environmentStates.deleted} <Time value={final} />
        </>
      );
    if (role === undefined && ready === undefined) return environmentStates.notHere;
    return ready === true ? environmentStates.ready : environmentStates.notReady;
  };
  return (
    <ScrollTable label={words.environments} columns={Object.values(columns)}>
      {environments.map((environment) => (
        <tr key={environment.id}>
          <th scope="row">{environment.id}</th>
          <td>{environment.name}</td>
          <td>{stateOf(environment)}</td>
          <td>{environment.role ?? texts.noValue}</td>
          <td>{formatted(environment.offset, formatNumber) ?? texts.noValue}</td>
        </tr>
      ))}
    </ScrollTable>
  );
}

/** Undefined if there is no value. */
function formatted(value: number | null | undefined, format: (value: number) => string): string | undefined {
  return value === null || value === undefined ? undefined : format(value);
}

/** A gauge that is 0 or 1; undefined if it is not exposed. */
function flagIn(metrics: string | undefined, name: string): boolean | undefined {
  const value = metrics === undefined ? undefined : samplesOf(metrics, name)[0]?.value;
  return value === undefined ? undefined : value === 1;
}
