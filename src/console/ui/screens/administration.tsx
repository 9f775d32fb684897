/** Administration: keys, environments, the audit log, backups, and the promotion of this node. */
import { ApiError, silentSinceMs } from "../api/node-api.ts";
import { Audit } from "../administration/audit.tsx";
import { Backup } from "../administration/backup.tsx";
import { Environments } from "../administration/environments.tsx";
import { Keys } from "../administration/keys.tsx";
import { Promotion } from "../administration/promotion.tsx";
import { Heading } from "../components/heading.tsx";
import { useLoaded } from "../state/loaded.ts";
import { currentRoute, routeTo } from "../state/route.ts";
import { call, shownLogin } from "../state/session.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";
import { administrationTexts as words } from "../texts/administration.ts";

type PartName = keyof typeof words.partTitles;

export default function AdministrationScreen() {
  const { parts } = useStore(currentRoute);
  const environment = shownLogin()?.who.environment ?? "";
  const reach = useReach(environment);
  const { hasEnvironments, isAppliance } = reach ?? { hasEnvironments: false, isAppliance: false };
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
        <p role="status">{reach === undefined ? texts.loading : texts.screens.notFound}</p>
      ) : (
        <Part key={part} name={part} hasEnvironments={hasEnvironments} />
      )}
    </>
  );
}

interface Reach {
  readonly hasEnvironments: boolean;
  readonly isAppliance: boolean;
}

/** The last known one of each environment in this tab. */
const knownReaches = new Map<string, Reach>();
const everything: Reach = { hasEnvironments: true, isAppliance: true };

/**
 * What the login administers. Keys of a hosted environment administer only that one, and a node may serve only one.
 * Undefined until the node says it. While it cannot, the parts say themselves that they are refused.
 */
function useReach(environment: string): Reach | undefined {
  const isSilent = useStore(silentSinceMs) !== undefined;
  const { data, error } = useLoaded(`reach ${environment}`, async (signal) => {
    const reach = await readReach(signal);
    knownReaches.set(environment, reach);
    return reach;
  });
  const isUnknown = error !== undefined || isSilent;
  return data ?? knownReaches.get(environment) ?? (isUnknown ? everything : undefined);
}

async function readReach(signal: AbortSignal): Promise<Reach> {
  try {
    await call("/api/environments", { signal });
    return everything;
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return { hasEnvironments: false, isAppliance: false };
    if (error instanceof ApiError && error.status === 404) return { hasEnvironments: false, isAppliance: true };
    throw error;
  }
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
