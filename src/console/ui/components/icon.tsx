/** An icon of lucide. It is decoration: the text beside it, or the label of its control, says the same. */
import {
  Activity,
  ArrowRight,
  BookOpen,
  ChevronRight,
  CircleCheck,
  CircleQuestionMark,
  CircleX,
  ClipboardList,
  Copy,
  Database,
  FileText,
  GitCommitHorizontal,
  House,
  type IconNode,
  Info,
  LogOut,
  Menu,
  Monitor,
  Moon,
  Pause,
  Play,
  Plus,
  RefreshCw,
  Search,
  Settings,
  Share2,
  Sun,
  TriangleAlert,
  Workflow,
  X,
} from "lucide";
import { h } from "preact";

const icons = {
  add: Plus,
  administration: Settings,
  arrow: ArrowRight,
  ask: CircleQuestionMark,
  bad: CircleX,
  changes: GitCommitHorizontal,
  chevron: ChevronRight,
  close: X,
  copy: Copy,
  dark: Moon,
  decisions: ClipboardList,
  facts: Database,
  good: CircleCheck,
  info: Info,
  light: Sun,
  logOut: LogOut,
  manual: BookOpen,
  menu: Menu,
  model: Workflow,
  overview: House,
  pause: Pause,
  play: Play,
  policy: FileText,
  reload: RefreshCw,
  search: Search,
  share: Share2,
  system: Monitor,
  traces: Activity,
  warn: TriangleAlert,
} as const satisfies Readonly<Record<string, IconNode>>;

export type IconName = keyof typeof icons;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg
      class="icon"
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="2"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      {icons[name].map(([tag, attributes], index) => h(tag, { ...attributes, key: index }))}
    </svg>
  );
}
