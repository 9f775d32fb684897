/** The change feed: the newest changes, live, and one change with its nodes and its trace. */
import { ChangeList } from "../changes/change-list.tsx";
import { ChangeDetails } from "../changes/change-details.tsx";
import { Drawer } from "../components/drawer.tsx";
import { Heading } from "../components/heading.tsx";
import { closeEntry, currentRoute } from "../state/route.ts";
import { useStore } from "../store.ts";
import { changesTexts as words } from "../texts/changes.ts";

export default function ChangesScreen() {
  const [offset] = useStore(currentRoute).parts;
  return (
    <>
      <Heading text={words.title} />
      <ChangeList />
      {offset !== undefined && (
        <Drawer title={words.titleOf(offset)} onClose={() => closeEntry("changes")}>
          <ChangeDetails key={offset} offset={offset} />
        </Drawer>
      )}
    </>
  );
}
