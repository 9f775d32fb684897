/** The last traces of the node, and one trace across all nodes. */
import { Heading } from "../components/heading.tsx";
import { currentRoute } from "../state/route.ts";
import { useStore } from "../store.ts";
import { tracesTexts as words } from "../texts/traces.ts";
import { traceFiltersIn } from "../traces/trace-filters.ts";
import { TraceList } from "../traces/trace-list.tsx";
import { TracePage } from "../traces/trace-page.tsx";

export default function TracesScreen() {
  const { parts, query } = useStore(currentRoute);
  const [id] = parts;
  if (id !== undefined) return <TracePage key={id} id={id} />;
  return (
    <>
      <Heading text={words.title} />
      <p class="help">{words.help}</p>
      <TraceList filters={traceFiltersIn(query)} />
    </>
  );
}
