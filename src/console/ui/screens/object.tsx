/** The page of an object: all facts that mention it, who has which role on it, and a graph of its relations. */
import { useCallback } from "preact/hooks";
import { FactList } from "../components/fact-list.tsx";
import { Heading } from "../components/heading.tsx";
import { formatValue, type Value } from "../facts/fact-text.ts";
import type { FactsPage } from "../facts/fact-pager.ts";
import { objectPath, pageSize } from "../facts/filter.ts";
import { currentRoute } from "../state/route.ts";
import { call } from "../state/session.ts";
import { useStore } from "../store.ts";
import { objectTexts } from "../texts/object.ts";

const words = objectTexts;

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
      <section aria-label={words.facts}>
        <h2>{words.facts}</h2>
        <FactList query={formatValue(value)} load={load} />
      </section>
    </>
  );
}
