/** The last traces of the node, and one trace across all nodes. */
import { Drawer } from "../components/drawer.tsx";
import { Heading } from "../components/heading.tsx";
import { closeEntry, currentRoute } from "../state/route.ts";
import { useStore } from "../store.ts";
import { tracesTexts as words } from "../texts/traces.ts";
import { traceFiltersIn } from "../traces/trace-filters.ts";
import { TraceList } from "../traces/trace-list.tsx";
import { TraceDetails } from "../traces/trace-details.tsx";

export default function TracesScreen() {
  const { parts, query } = useStore(currentRoute);
  const [id] = parts;
  return (
    <>
      <Heading text={words.title} />
      <p class="help">{words.help}</p>
      <TraceList filters={traceFiltersIn(query)} showsAll={query.get("all") === "true"} />
      {id !== undefined && (
        <Drawer key={id} title={words.one} onClose={() => closeEntry("traces")}>
          <TraceDetails id={id} />
        </Drawer>
      )}
    </>
  );
}
