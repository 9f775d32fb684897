/** All nodes of the environment, as they describe themselves. */
import type { ListedNode, Nodes } from "../api/cluster.ts";
import { formatDuration, formatNumber } from "../components/format.ts";
import { Pill } from "../components/pill.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { texts } from "../texts.ts";
import { nodeTexts as words } from "../texts/nodes.ts";
import { overviewTexts } from "../texts/overview.ts";
import { isSilent } from "./node-problems.ts";

const badStates: ReadonlySet<string> = new Set(["FENCED", "DIVERGED", "DISCONNECTED"]);

export function NodeTable({ listed }: { readonly listed: Nodes }) {
  return (
    <ScrollTable label={words.title} columns={Object.values(words.columns)}>
      {listed.nodes.map((node) => (
        <Row key={node.node} listed={node} isOwn={node.node === listed.asked} />
      ))}
    </ScrollTable>
  );
}

function Row({ listed, isOwn }: { readonly listed: ListedNode; readonly isOwn: boolean }) {
  const { node, role, state, offset, lag_events: lag, age_ms: ageMs, brokers, version, seen_ms_ago: seenMs } = listed;
  const brokerNames = brokers.map(({ broker, connected }) => (connected ? broker : words.brokerDown(broker)));
  const stateText = state === null ? texts.noValue : (overviewTexts.states[state] ?? state);
  return (
    <tr>
      <th scope="row">{isOwn ? words.own(node) : node}</th>
      <td>{role}</td>
      <td>
        <Pill kind={isSilent(listed) || badStates.has(state ?? "") ? "bad" : "neutral"}>
          {isSilent(listed) ? words.gone : stateText}
        </Pill>
      </td>
      <td>{offset === null ? texts.noValue : formatNumber(offset)}</td>
      <td>{lag === null ? texts.noValue : lag === 0 ? words.nothingLacks : words.lag(lag, formatNumber(lag))}</td>
      <td>{ageMs === null || role === "primary" ? texts.noValue : words.ago(formatDuration(ageMs))}</td>
      <td>{brokerNames.join(", ") || texts.noValue}</td>
      <td>{version ?? texts.noValue}</td>
      <td class="nowrap">{seenMs < 1000 ? words.now : words.ago(formatDuration(seenMs))}</td>
    </tr>
  );
}
