/** The change feed: the newest changes, live, and one change with its nodes and its trace. */
import { ChangeList } from "../changes/change-list.tsx";
import { ChangePage } from "../changes/change-page.tsx";
import { Heading } from "../components/heading.tsx";
import { currentRoute } from "../state/route.ts";
import { useStore } from "../store.ts";
import { changesTexts as words } from "../texts/changes.ts";

export default function ChangesScreen() {
  const [offset] = useStore(currentRoute).parts;
  if (offset !== undefined) return <ChangePage key={offset} offset={offset} />;
  return (
    <>
      <Heading text={words.title} />
      <ChangeList />
    </>
  );
}
