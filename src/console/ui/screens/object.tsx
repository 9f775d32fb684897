/** The page of an object: all facts that mention it, who has which role on it, and a graph of its relations. */
import { useCallback } from "preact/hooks";
import { Heading } from "../components/heading.tsx";
import { FactList } from "../facts/fact-list.tsx";
import type { FactsPage } from "../facts/fact-pager.ts";
import { formatValue, type Value, valueParameter } from "../facts/fact-text.ts";
import { objectPath, pageSize } from "../facts/filter.ts";
import { RelationGraphView } from "../object/relation-graph.tsx";
import { RoleTable } from "../object/role-table.tsx";
import { currentRoute, routeTo } from "../state/route.ts";
import { call } from "../state/session.ts";
import { useStore } from "../store.ts";
import { objectTexts } from "../texts/object.ts";

const words = objectTexts;
/** What an index finds is there first. The rest takes a request for each 20,000 facts of the environment. */
const emptyPagesMax = 3;

export default function ObjectScreen() {
  const {
    parts: [type, id],
  } = useStore(currentRoute);
  if (!type || !id)
    return (
      <>
        <Heading text={words.title} />
        <p>{words.unknown}</p>
      </>
    );
  return <ObjectPage key={`${type} ${id}`} value={{ type, id }} />;
}

function ObjectPage({ value }: { readonly value: Value }) {
  const load = useCallback(async (token: string | null, signal: AbortSignal) => {
    const page = { page_size: String(pageSize), ...(token !== null && { page_token: token }) };
    return (await call(objectPath(value, page), { signal })) as FactsPage;
  }, []);
  return (
    <>
      <Heading text={formatValue(value)} />
      <p class="buttons">
        <a href={routeTo("ask", ["list"], { actor: valueParameter(value) })}>{words.askWhat(formatValue(value))}</a>
        <a href={routeTo("ask", ["who"], { resource: valueParameter(value) })}>{words.askWho(formatValue(value))}</a>
      </p>
      <section aria-label={words.facts}>
        <h2>{words.facts}</h2>
        <FactList query={formatValue(value)} load={load} emptyPagesMax={emptyPagesMax} />
      </section>
      <RoleTable value={value} />
      <section aria-label={words.graph.title}>
        <h2>{words.graph.title}</h2>
        <RelationGraphView value={value} />
      </section>
    </>
  );
}
