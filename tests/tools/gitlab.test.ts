/** Checks examples/gitlab with gitlab-ci-local, which has GitLab's schema. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { readExample } from '../integration/examples/examples.js';
import { PACKAGES } from './layouts.js';

const program = join(PACKAGES, 'gitlab-ci-local', 'src', 'index.js');
const isInstalled = existsSync(program);

(isInstalled ? test : test.skip)(
  `.gitlab-ci.yml matches GitLab's schema${isInstalled ? '' : ' (skipped: gitlab-ci-local is not installed)'}`,
  () => {
    const text = readExample('gitlab/.gitlab-ci.yml');
    expect(check(text)).toEqual({ status: 0, complaint: '' });
    expect(check(text.replace('resource_group', 'resorce_group')).status).not.toBe(0);
    expect(check(text.replace('interruptible: false', 'interruptible: 5')).status).not.toBe(0);
  },
);

function check(text: string): { status: number | null; complaint: string } {
  const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-gitlab-'));
  try {
    writeFileSync(join(folder, '.gitlab-ci.yml'), text);
    const git = (...words: string[]) => spawnSync('git', words, { cwd: folder });
    git('init', '--quiet');
    git('remote', 'add', 'origin', 'git@gitlab.example.com:shop/app.git');
    const { status, stderr } = spawnSync(process.execPath, [program, '--list'], {
      encoding: 'utf8',
      cwd: folder,
    });
    return { status, complaint: status === 0 ? '' : stderr };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
