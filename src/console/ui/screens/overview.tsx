/** The overview: problems first, then this node, its last hour, and its environments. */
import type { ComponentChildren } from "preact";
import type { Nodes } from "../api/cluster.ts";
import { samplesOf } from "../api/metrics-text.ts";
import type { Environment, Health, MetricsHistory } from "../api/responses.ts";
import { Chart, type ChartLine } from "../components/chart.tsx";
import { Failure } from "../components/failure.tsx";
import { formatDuration, formatNumber, formatShare } from "../components/format.ts";
import { Heading } from "../components/heading.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { extended, historyPath, latest } from "../overview/history.ts";
import { nodeProblemsOf } from "../overview/node-problems.ts";
import { NodeTable } from "../overview/node-table.tsx";
import { type Problem, problemsOf } from "../overview/problems.ts";
import { usePolled } from "../state/polled.ts";
import { call, shownLogin, may } from "../state/session.ts";
import { texts } from "../texts.ts";
import { nodeTexts } from "../texts/nodes.ts";
import { overviewTexts } from "../texts/overview.ts";

const words = overviewTexts;
const fastMs = 2000;
const nodesMs = 3000;
const historyMs = 5000;
const slowMs = 10_000;

export default function OverviewScreen() {
  const login = shownLogin();
  const key = login && `${login.who.environment} ${login.who.id}`;
  const health = usePolled(
    key,
    fastMs,
    (signal) => call("/healthcheck", { signal, acceptsNotReady: true }) as Promise<Health>,
  );
  const history = usePolled<MetricsHistory>(key, historyMs, async (signal, last) =>
    extended(last, (await call(historyPath(last), { signal })) as MetricsHistory),
  );
  // Only the default environment may read what concerns all environments. Others get 403, which is no problem to show.
  const metrics = usePolled(key, slowMs, (signal) => call("/metrics", { signal }) as Promise<string>);
  const environments = usePolled(may(login, "admin") ? key : undefined, slowMs, async (signal) => {
    const answer = await call("/api/environments", { signal });
    return (answer as { readonly environments: readonly Environment[] }).environments;
  });
  const nodes = usePolled(key, nodesMs, (signal) => call("/api/nodes", { signal }) as Promise<Nodes>);
  const ownProblems = problemsOf({
    health: health.data,
    environments: environments.data,
    storageOk: flagIn(metrics.data, "ostiary_storage_ok"),
    hasForeignHistory: flagIn(metrics.data, "ostiary_foreign_history"),
    errorsPerSecond: latest(history.data, "errors_per_second"),
  });
  const problems = [...ownProblems, ...nodeProblemsOf(nodes.data)].toSorted(worstFirst);
  return (
    <>
      <Heading text={words.title} />
      <Problems problems={problems} isKnown={health.data !== undefined} />
      <Section title={words.thisNode}>
        <Failure error={health.error} />
        {health.data && (
          <NodeFacts health={health.data} metrics={metrics.data} isDefault={metrics.data !== undefined} />
        )}
      </Section>
      <Section title={nodeTexts.title}>
        <p class="help">{nodeTexts.help}</p>
        <Failure error={nodes.error} />
        {nodes.data && <NodeTable listed={nodes.data} />}
      </Section>
      <Section title={words.lastHour}>
        <p class="help">{words.lastHourHelp}</p>
        <Failure error={history.error} />
        {history.data && <Charts history={history.data} />}
      </Section>
      {environments.data && environments.data.length > 1 && (
        <Section title={words.environments}>
          <EnvironmentTable environments={environments.data} />
        </Section>
      )}
    </>
  );
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

/** Screen readers hear how many there are, not each change of a number in one of them. */
function Problems({ problems, isKnown }: { readonly problems: readonly Problem[]; readonly isKnown: boolean }) {
  const summary = problems.length > 0 ? words.problemCount(problems.length) : words.noProblems;
  return (
    <Section title={words.problems}>
      <p role="status" class={isKnown && problems.length === 0 ? "good" : ""}>
        {isKnown ? summary : texts.loading}
      </p>
      <ul class="problems">
        {problems.map(({ severity, title, remedy }) => (
          <li key={title} class={severity}>
            <strong>{title}</strong>
            <p>{remedy}</p>
          </li>
        ))}
      </ul>
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
      <dl class="properties">
        {rows.map(([name, value]) =>
          value === undefined ? null : (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ),
        )}
      </dl>
    </>
  );
}

function Charts({ history }: { readonly history: MetricsHistory }) {
  const { charts } = words;
  const { times, series } = history;
  if (times.length === 0) return <p>{words.nothingYet}</p>;
  const line = (label: string, values: ChartLine["values"]): ChartLine => ({ label, values });
  const rate = (values: ChartLine["values"]) => [line(charts.rate, values)];
  const share = (values: ChartLine["values"]) => [line(charts.share, values)];
  const percentiles = (p50: ChartLine["values"], p99: ChartLine["values"]) => [
    line(charts.p50, p50),
    line(charts.p99, p99),
  ];
  const latency = percentiles(series.decision_p50_ms, series.decision_p99_ms);
  const visible = percentiles(series.commit_to_visible_p50_ms, series.commit_to_visible_p99_ms);
  return (
    <div class="charts">
      <Chart title={charts.decisions} times={times} lines={rate(series.decisions_per_second)} format={formatNumber} />
      <Chart title={charts.latency} times={times} lines={latency} format={formatDuration} />
      <Chart title={charts.allowed} times={times} lines={share(series.allowed_share)} format={formatShare} max={1} />
      <Chart title={charts.cache} times={times} lines={share(series.cache_hit_share)} format={formatShare} max={1} />
      <Chart title={charts.visible} times={times} lines={visible} format={formatDuration} />
      <Chart title={charts.errors} times={times} lines={rate(series.errors_per_second)} format={formatNumber} />
    </div>
  );
}

function EnvironmentTable({ environments }: { readonly environments: readonly Environment[] }) {
  const { columns, environmentStates } = words;
  const stateOf = ({ state, final = "", role, ready }: Environment): string => {
    if (state === "deleted") return environmentStates.deleted(final);
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
