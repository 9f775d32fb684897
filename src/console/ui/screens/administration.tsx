/** Administration: keys, environments, the audit log, backups, and the promotion of this node. */
import { ApiError } from "../api/node-api.ts";
import { Audit } from "../administration/audit.tsx";
import { Backup } from "../administration/backup.tsx";
import { Environments } from "../administration/environments.tsx";
import { Keys } from "../administration/keys.tsx";
import { Promotion } from "../administration/promotion.tsx";
import { Heading } from "../components/heading.tsx";
import { useLoaded } from "../state/loaded.ts";
import { currentRoute, routeTo } from "../state/route.ts";
import { call } from "../state/session.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";
import { administrationTexts as words } from "../texts/administration.ts";

type PartName = keyof typeof words.partTitles;

export default function AdministrationScreen() {
  const { parts } = useStore(currentRoute);
  // Keys of a hosted environment administer only that one; a node may also serve only one.
  const reach = useLoaded("reach", async (signal) => {
    try {
      await call("/api/environments", { signal });
      return { hasEnvironments: true, isAppliance: true };
    } catch (error) {
      if (error instanceof ApiError && error.status === 403) return { hasEnvironments: false, isAppliance: false };
      if (error instanceof ApiError && error.status === 404) return { hasEnvironments: false, isAppliance: true };
      throw error;
    }
  });
  const { hasEnvironments = false, isAppliance = false } = reach.data ?? {};
  const shown: readonly PartName[] = [
    "keys",
    ...(hasEnvironments ? (["environments"] as const) : []),
    ...(["audit", "backup"] as const),
    ...(isAppliance ? (["promotion"] as const) : []),
  ];
  const wanted = (parts[0] ?? "keys") as PartName;
  const part = shown.includes(wanted) ? wanted : undefined;
  return (
    <>
      <Heading text={part === undefined || part === "keys" ? words.title : words.partTitles[part]} />
      <nav aria-label={words.parts} class="tabs">
        <ul>
          {shown.map((name) => (
            <li key={name}>
              <a href={routeTo("administration", [name])} aria-current={name === part ? "page" : undefined}>
                {words.partTitles[name]}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      {part === undefined ? (
        <p role="status">{reach.isLoading ? texts.loading : texts.screens.notFound}</p>
      ) : (
        <Part key={part} name={part} hasEnvironments={hasEnvironments} />
      )}
    </>
  );
}

function Part({ name, hasEnvironments }: { readonly name: PartName; readonly hasEnvironments: boolean }) {
  switch (name) {
    case "environments":
      return <Environments />;
    case "audit":
      return <Audit />;
    case "backup":
      return <Backup hasEnvironments={hasEnvironments} />;
    case "promotion":
      return <Promotion />;
    default:
      return <Keys />;
  }
}
