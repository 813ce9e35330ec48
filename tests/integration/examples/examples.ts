/** The files in examples/, and the commands of migrate-lock in those that start it. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { ROOT } from '../../support/documents.js';

export const EXAMPLES = join(ROOT, 'examples');

/** Paths below examples/, such as `kubernetes/job.yaml`. */
export const FILES = readdirSync(EXAMPLES, { recursive: true, encoding: 'utf8' })
  .filter((path) => statSync(join(EXAMPLES, path)).isFile())
  .sort();

export const readExample = (path: string) => readFileSync(join(EXAMPLES, path), 'utf8');

export interface Container {
  name: string;
  command: string[];
  args?: string[];
  env?: { name: string; value?: string }[];
  startupProbe?: { periodSeconds: number; failureThreshold: number };
}

export interface KubernetesObject {
  kind: string;
  metadata: { name: string; annotations?: Record<string, string> };
  spec: {
    activeDeadlineSeconds?: number;
    progressDeadlineSeconds?: number;
    template: {
      spec: {
        restartPolicy?: string;
        terminationGracePeriodSeconds: number;
        initContainers?: Container[];
        containers: Container[];
      };
    };
  };
}

/** The Kubernetes objects, with the chart's values filled in. */
export const KUBERNETES = FILES.filter((path) => /^(kubernetes\/|helm\/templates\/).*\.yaml$/.test(path)).map(
  (path) => ({ path, object: parse(filledIn(readExample(path)), { merge: true }) as KubernetesObject }),
);

export const containersOf = ({ spec: { template } }: KubernetesObject) => [
  ...(template.spec.initContainers ?? []),
  ...template.spec.containers,
];

/** The words after `command:`, with `$(NAME)` replaced as the kubelet does. */
export function wordsOf({ command, args = [], env = [] }: Container): string[] {
  return [...command, ...args].map((word) =>
    word.replaceAll(/\$\((\w+)\)/g, (all, name) => env.find((one) => one.name === name)?.value ?? all),
  );
}

/** What the templates of the chart use: `.Release.Name`, and the values of values.yaml. */
function filledIn(template: string): string {
  const values = parse(readExample('helm/values.yaml')) as Record<string, string>;
  return template.replaceAll(/\{\{ (?:required "\w+" )?\.(\w+)\.(\w+) \}\}/g, (all, of, name: string) => {
    const value = of === 'Values' ? values[name] : of === 'Release' && name === 'Name' ? 'app' : undefined;
    if (value === undefined) throw new Error(`${all} has no value`);
    return value;
  });
}
