/** The manual: its pages, a search, and links between them. It comes from the node, so it works without the internet. */
import { useEffect, useState } from "preact/hooks";
import { Heading } from "../components/heading.tsx";
import { Remote } from "../components/remote.tsx";
import { useLoaded } from "../state/loaded.ts";
import { loadPages } from "../manual/load-pages.ts";
import { Markdown, sectionId } from "../manual/markdown.tsx";
import type { ManualPage } from "../manual/pages.ts";
import { search } from "../manual/search.ts";
import { currentRoute, routeTo } from "../state/route.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";
import { manualTexts as words } from "../texts/manual.ts";

export default function ManualScreen() {
  const [name, anchor = ""] = useStore(currentRoute).parts;
  const loaded = useLoaded("manual", loadPages);
  const pages = loaded.data;
  const [wanted, setWanted] = useState("");
  if (pages === undefined)
    return (
      <>
        <Heading text={texts.screens.manual} />
        <Remote of={loaded}>{() => null}</Remote>
      </>
    );
  const page = name === undefined ? pages[0] : pages.find((each) => each.name === name);
  return (
    <div class="manual">
      <div>
        <label for="manual-search">{words.search}</label>
        <input
          id="manual-search"
          type="search"
          value={wanted}
          onInput={({ currentTarget }) => setWanted(currentTarget.value)}
        />
        <SearchResults pages={pages} wanted={wanted} />
        <PageList pages={pages} current={page} />
      </div>
      <Page key={page?.name} page={page} pages={pages} anchor={anchor} />
    </div>
  );
}

function SearchResults({ pages, wanted }: { readonly pages: readonly ManualPage[]; readonly wanted: string }) {
  const found = search(pages, wanted);
  const titles = new Map(pages.map(({ name, title }) => [name, title]));
  return (
    <>
      <p role="status">{wanted.trim() !== "" && words.found(found.length)}</p>
      {found.length > 0 && (
        <ul class="found" aria-label={words.results}>
          {found.map(({ section: { page, anchor, heading }, excerpt }) => (
            <li key={`${page} ${anchor}`}>
              <a href={routeTo("manual", anchor === "" ? [page] : [page, anchor])}>
                {words.foundIn(titles.get(page) ?? page, heading)}
              </a>
              <p class="help">
                {excerpt.map(({ text, isHit }, index) => (isHit ? <mark key={index}>{text}</mark> : text))}
              </p>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function PageList({
  pages,
  current,
}: {
  readonly pages: readonly ManualPage[];
  readonly current: ManualPage | undefined;
}) {
  // On phones the page itself is more important than the way to the others.
  const [isOpen] = useState(() => matchMedia("(min-width: 50rem)").matches);
  return (
    <details open={isOpen}>
      <summary>{words.pages}</summary>
      <nav aria-label={words.pages}>
        <ul>
          {pages.map((page) => (
            <li key={page.name}>
              <a href={routeTo("manual", [page.name])} aria-current={page === current ? "page" : undefined}>
                {page.title}
              </a>
            </li>
          ))}
        </ul>
      </nav>
    </details>
  );
}

interface PageProps {
  readonly page: ManualPage | undefined;
  readonly pages: readonly ManualPage[];
  readonly anchor: string;
}

function Page({ page, pages, anchor }: PageProps) {
  useEffect(() => {
    const section = document.getElementById(sectionId(anchor));
    section?.scrollIntoView();
    section?.focus({ preventScroll: true });
  }, [anchor]);
  if (page === undefined) return <Heading text={words.unknown} />;
  return (
    <article>
      <Heading text={page.title} />
      <Markdown page={page} pages={pages} />
    </article>
  );
}
