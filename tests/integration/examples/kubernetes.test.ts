/** Checks the Kubernetes objects against the types of its API, and their times against those of migrate-lock. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ROOT } from '../../support/documents.js';
import { parseDuration } from '../../../src/text/duration.js';
import { containersOf, KUBERNETES, wordsOf, type KubernetesObject } from './examples.js';

/** The modules of kubernetes-types, which are made from the API's schemas. */
const TYPES: Record<string, string> = { Job: 'batch/v1', Deployment: 'apps/v1' };

describe.each(KUBERNETES)('$path', ({ object }) => {
  const { template, activeDeadlineSeconds, progressDeadlineSeconds } = object.spec;
  const limitSeconds = activeDeadlineSeconds ?? progressDeadlineSeconds ?? 0;
  const locked = containersOf(object).filter(({ command }) => command[0] === 'migrate-lock');

  test('starts migrate-lock, without a shell in front', () => {
    expect(locked.length).toBe(1);
    expect(['Never', undefined]).toContain(template.spec.restartPolicy);
  });

  test.each(locked)('container $name: Kubernetes waits longer than migrate-lock does', (container) => {
    const words = wordsOf(container);
    expect(words.join(' ')).not.toContain('$(');
    const seconds = (option: string) => secondsAfter(words, option);
    if (words[1] === 'run') {
      expect(limitSeconds).toBeGreaterThan(seconds('--wait-timeout') + seconds('--ttl'));
      expect(template.spec.terminationGracePeriodSeconds).toBeGreaterThan(seconds('--kill-grace') + 5);
    } else {
      expect(limitSeconds).toBeGreaterThan(seconds('--wait-timeout'));
      const { periodSeconds, failureThreshold } = container.startupProbe ?? {
        periodSeconds: 0,
        failureThreshold: 0,
      };
      expect(periodSeconds * failureThreshold).toBeGreaterThan(seconds('--wait-timeout'));
    }
  });
});

test('hooks: Helm and Argo CD delete the Job of the last time first, and run it before the application', () => {
  const annotationsOf = (name: string) =>
    KUBERNETES.find(({ path }) => path.endsWith(name))?.object.metadata.annotations;
  expect(annotationsOf('templates/migrate.yaml')).toEqual({
    'helm.sh/hook': 'pre-install,pre-upgrade',
    'helm.sh/hook-delete-policy': 'before-hook-creation,hook-succeeded',
  });
  expect(annotationsOf('argocd-sync-wave.yaml')).toEqual({
    'argocd.argoproj.io/hook': 'Sync',
    'argocd.argoproj.io/hook-delete-policy': 'BeforeHookCreation',
    'argocd.argoproj.io/sync-wave': '-1',
  });
});

test('all have the types of the API', () => {
  expect(compile(KUBERNETES.map(({ object }) => object))).toBe('');
});

test('a misspelt field, a missing one and a wrong type are found', () => {
  const job = KUBERNETES.find(({ path }) => path === 'kubernetes/job.yaml')?.object;
  const { template, ...rest } = job?.spec ?? {};
  const said = compile([
    { ...job, spec: { ...rest, template, activeDeadline: 1 } },
    { ...job, spec: rest },
    { ...job, spec: { template, backoffLimit: 'three' } },
  ]);
  expect(said.split('\n').filter((line) => line.includes('error'))).toEqual([
    expect.stringMatching(/'"?activeDeadline"?' does not exist in type 'JobSpec'/),
    expect.stringContaining("'template' is missing"),
    expect.stringContaining("Type 'string' is not assignable to type 'number'"),
  ]);
});

/** What the compiler says about the objects. It checks literals, so a field that the type does not have is a mistake too. */
function compile(objects: readonly object[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-kubernetes-'));
  try {
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    const imports = Object.entries(TYPES).map(
      ([kind, module]) => `import type { ${kind} } from 'kubernetes-types/${module}';`,
    );
    const literals = objects.map(
      (object, at) =>
        `export const object${at}: ${(object as KubernetesObject).kind} = ${JSON.stringify(object, null, 1)};`,
    );
    writeFileSync(join(folder, 'objects.ts'), [...imports, ...literals].join('\n'));
    const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    const options = ['--noEmit', '--strict', '--ignoreConfig', '--module', 'nodenext', '--typeRoots', folder];
    const { stdout } = spawnSync(process.execPath, [compiler, ...options, 'objects.ts'], {
      cwd: folder,
      encoding: 'utf8',
    });
    return stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function secondsAfter(words: readonly string[], option: string): number {
  const ms = parseDuration(words[words.indexOf(option) + 1] ?? '');
  if (!words.includes(option) || ms === undefined) throw new Error(`${option} has no duration`);
  return ms / 1000;
}
