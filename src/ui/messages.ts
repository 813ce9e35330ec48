import {
  adviceAfterDeadline,
  adviceAfterError,
  adviceAfterFailedRelease,
  adviceAfterWait,
} from './advice.js';
import { formatDuration } from '../text/duration.js';
import type { EventOf, MigrateLockEvent, SessionActivity } from '../events/events.js';
import { heldSinceUntil, holderName, holding, shortened, hostAndCommand } from './holder-text.js';
import { aboutLeftovers, aboutToolLocks } from './leftovers-text.js';
import { aboutSurvivors } from './survivors.js';
import { aboutSessions } from './session-text.js';
import { aboutBlocking } from './blocking-text.js';
import { unclean } from './unclean-end.js';
import { describeWaitEnd } from './wait-end.js';
import { unlockLine } from '../text/unlock-line.js';

export type Tone = 'info' | 'good' | 'warn' | 'bad';

/** A sentence for people. */
export interface Message {
  text: string;
  tone: Tone;
  /** What to do next. */
  hint?: string | undefined;
}

/** For a line with other fields. */
const SHORT_COMMAND_LENGTH = 40;

const UNRECOVERED: Message = {
  text: 'the command was not started, because its recovery failed',
  tone: 'bad',
  hint: 'The next run of this command recovers again. If that cannot succeed, repair what the last run left, and run with --recover none.',
};

const RETRIES_ENDED: Record<EventOf<'child.retries_ended'>['reason'], string> = {
  time: 'less time is left than its last try took (--ttl gives it more)',
  sessions: 'database sessions that it has left open could not be ended',
  indexes: 'it has left an INVALID index',
  lease: 'the lease has ended',
  database: 'the database did not answer',
  recovery: 'the recovery before it could not be made',
};

/** The message for an event; null when there is none. `isCutOff`: `--max-block` has ended a statement or a session of the command. */
export function describeEvent(event: MigrateLockEvent, isCutOff = false): Message | null {
  switch (event.event) {
    case 'schema.applied':
      return event.fromVersion === null
        ? info(`created the lock schema ${event.schema}`)
        : info(
            `upgraded the lock schema ${event.schema} from version ${event.fromVersion} to ${event.toVersion}`,
          );
    case 'database.unavailable':
      return warn(`the database cannot be used yet (${event.message}); trying again`);
    case 'lock.waiting':
      return info(`waiting for the lock: ${holding(event)}${queue(event.queueLength)}`);
    case 'lock.rate_limited':
      return warn(
        `too many attempts from this client; the next one is made in ${formatDuration(event.retryAfterMs)}`,
      );
    case 'lock.acquired':
      return acquired(event);
    case 'lock.takeover':
      return warn(
        `taking over from ${event.previousInstanceId}, whose lease expired ${formatDuration(event.expiredMs)} ago ` +
          `without having been released${sessionsEnded(event.sessionsEnded)}`,
      );
    case 'child.started':
      return info(
        `running ${event.command} (pid ${event.childPid}); it must be done within ${formatDuration(event.deadlineMs)}`,
      );
    case 'child.exited':
      return exited(event, isCutOff);
    case 'child.retry':
      return warn(
        `the command is started again in ${formatDuration(event.delayMs)} (retry ${event.retry} of ${event.retries})` +
          (event.isCutOff ? ': a statement of it was ended because it blocked others' : ''),
      );
    case 'child.retries_ended':
      return warn(`the command is not started again: ${RETRIES_ENDED[event.reason]}`);
    case 'recover.started':
      return info(
        `the last run had an unclean end: running ${event.command} (pid ${event.childPid}) first; it must be done within ` +
          formatDuration(event.deadlineMs),
      );
    case 'recover.exited':
      return event.exitCode === 0
        ? good(`the recovery succeeded after ${formatDuration(event.durationMs)}`)
        : bad(
            `the recovery ${failure(event.exitCode, event.signal)} after ${formatDuration(event.durationMs)}`,
          );
    case 'recover.skipped':
      return {
        ...warn(`the lock of ${event.tool} itself was not released: ${event.reason}`),
        hint: `The command is started. If it says that migrations are locked: make sure that none runs, then \`${event.recovery}\`.`,
      };
    case 'check.started':
      return info(
        `checking whether anything is pending: ${event.command} (pid ${event.childPid}), for ${formatDuration(event.deadlineMs)} at most`,
      );
    case 'check.exited':
      return event.exitCode === 0
        ? info(`the check found nothing pending after ${formatDuration(event.durationMs)}`)
        : info(
            `the check ${failure(event.exitCode, event.signal)} after ${formatDuration(event.durationMs)}`,
          );
    case 'lease.expiring':
      return {
        ...warn(
          `the command is still running and will be ended in ${formatDuration(event.deadlineMs)}${sessions(event)}`,
        ),
        hint: event.canExtend
          ? 'More time for this run: `migrate-lock extend --ttl 10m` from inside the command.'
          : 'More time for the next run: a longer --ttl.',
      };
    case 'lock.orphans':
      return {
        ...warn(
          `the lease of ${event.holder} has expired, but database sessions of it are still open: ` +
            event.sessions.map(orphan).join(', '),
        ),
        hint:
          event.denied === 0
            ? 'The takeover waits until they have ended.'
            : 'Our role may not end them: that needs the same role, or pg_signal_backend. The takeover waits until they have ' +
              `ended. To end one: SELECT pg_terminate_backend(${event.sessions[0]?.pid ?? 'pid'}). If no role can end them: ` +
              `\`${unlockLine(event.holder)}\`. If they are not the command's, name its roles with init --child-role.`,
      };
    case 'database.blocking':
      return { ...aboutBlocking(event), tone: 'warn' };
    case 'database.leftovers':
      return { ...aboutLeftovers(event), tone: 'warn' };
    case 'tool.locked':
      return { ...aboutToolLocks(event), tone: 'warn' };
    case 'lock.inherited':
      return info(`running under the lease of ${event.holder}, inside its command`);
    case 'lease.extended':
      return good(`extended the lease: it now ends at ${event.expiresAt}`);
    case 'lease.kept':
      return { ...aboutSurvivors(event), tone: 'warn' };
    case 'child.unseen':
      return {
        ...warn(
          'the processes of the command cannot be seen: /proc is not there, or is that of another PID namespace. Only the ' +
            'process group can be ended, not processes that leave it',
        ),
        hint: 'Mount /proc in the namespace: unshare --mount-proc, or mount -t proc proc /proc.',
      };
    case 'child.deadline':
      return {
        ...bad(
          `the command has run for ${formatDuration(event.ranMs)}${
            event.expiresInMs > 0
              ? '; it is ended now, before its lease expires'
              : ', and its lease has expired: migrate-lock did not run in time; its remaining processes are ended now'
          }${sessions(event)}`,
        ),
        hint: adviceAfterDeadline(event),
      };
    case 'child.leftover':
      return warn(
        `the command left ${count(event.count, 'process', 'processes')} running; ending the leftover processes`,
      );
    case 'lock.released':
      return good(`released the lock after ${formatDuration(event.heldMs)}`);
    case 'lock.release_delayed':
      return warn(
        `the lock could not be released yet (${event.message}); trying again. The lease expires at ${event.expiresAt}`,
      );
    case 'lock.release_failed':
      return {
        ...bad(`the lock could not be released: ${event.message}`),
        hint: adviceAfterFailedRelease(event),
      };
    case 'lock.lost':
      return bad(
        `the lease was lost before its end: ${event.holder === null ? 'the lock is not held any more' : `${event.holder} has acquired the lock since`}`,
      );
    case 'wait.timeout':
      return {
        ...bad(
          `gave up after ${formatDuration(event.waitedMs)}: ${heldSinceUntil(event)}${queue(event.queueLength)}${sessions(event)}`,
        ),
        hint: adviceAfterWait(event),
      };
    case 'wait.started':
      return info(
        `waiting until the work of ${event.runKey} is done, for ${formatDuration(event.waitTimeoutMs)} at most`,
      );
    case 'wait.finished':
      return describeWaitEnd(event);
    case 'run.skipped':
      return skipped(event);
    case 'run.not_stored':
      return {
        ...bad(`the success of ${event.runKey} could not be stored`),
        hint: 'Run it again with this key: others that wait for it do not go on.',
      };
    case 'guard.restarted':
      return warn('the guard of the command had exited; started another one');
    case 'guard.absent':
      return warn(
        `there is no guard (${event.reason}): if migrate-lock is killed or stopped, the command is not ended, not even when ` +
          'the lease expires',
      );
    case 'socket.absent':
      return {
        ...warn(
          'a socket could not be created: the command cannot extend its lease, and a migrate-lock run inside it fails ' +
            `(${event.reason})`,
        ),
        hint: 'Set TMPDIR to a directory that this user can write, and in which no other user can replace files.',
      };
    case 'error':
      return { ...bad(event.message), hint: adviceAfterError(event) };
    case 'run.finished':
      return event.outcome === 'unrecovered' ? UNRECOVERED : null;
  }
}

/**
 * A wait in one line, for a terminal where it changes every second: `waiting 12s · held by web-7f9 (knex migrate:latest) for
 * 18s · lease ends in 11s · 9 waiting`. `sinceMs`: the time since the event.
 */
export function describeWait(event: EventOf<'lock.waiting'>, sinceMs: number): string {
  const lease = event.expiresInMs === null ? null : event.expiresInMs - sinceMs;
  const held = event.heldMs === null ? '' : ` for ${inSeconds(event.heldMs + sinceMs)}`;
  return [
    `waiting ${inSeconds(event.waitedMs + sinceMs)}`,
    `${holderName(event, SHORT_COMMAND_LENGTH)}${held}`,
    ...(lease === null ? [] : [lease > 0 ? `lease ends in ${inSeconds(lease + 999)}` : 'lease has expired']),
    ...(event.queueLength > 1 ? [`${event.queueLength} waiting`] : []),
  ].join(' · ');
}

/** Whole seconds: half ones would only flicker. */
function inSeconds(ms: number): string {
  return ms < 1_000 ? '0s' : formatDuration(Math.floor(ms / 1_000) * 1_000);
}

/** What the database sessions are doing, at the end of a sentence. */
function sessions(event: { sessions?: SessionActivity[] }): string {
  const about = aboutSessions(event.sessions);
  return about === undefined ? '' : `: ${about}`;
}

function queue(length: number): string {
  return length > 1 ? `, ${length} waiting` : '';
}

function exited({ exitCode, signal, durationMs }: EventOf<'child.exited'>, isCutOff: boolean): Message {
  const after = `after ${formatDuration(durationMs)}`;
  if (signal !== null) return warn(`the command was ended by ${signal} ${after}`);
  if (exitCode === 0 && isCutOff) return warn(`the command ended with exit code 0 ${after}`);
  return exitCode === 0
    ? good(`the command succeeded ${after}`)
    : warn(`the command failed with exit code ${exitCode ?? 'unknown'} ${after}`);
}

/** `ended with exit code 3`, `was ended by SIGTERM` */
function failure(exitCode: number | null, signal: string | null): string {
  return signal === null ? `ended with exit code ${exitCode ?? 'unknown'}` : `was ended by ${signal}`;
}

function orphan({ pid, role, client, openMs }: EventOf<'lock.orphans'>['sessions'][number]): string {
  const where = client === null ? '' : ` at ${client}`;
  const since = openMs === null ? '' : `, in a transaction for ${formatDuration(openMs)}`;
  return `${pid} (${role ?? 'unknown role'}${where}${since})`;
}

function acquired(event: MigrateLockEvent & EventOf<'lock.acquired'>): Message {
  const text =
    `acquired the lock after ${formatDuration(event.waitedMs)} (token ${event.fencingToken ?? 'unknown'}), ` +
    `for ${formatDuration(event.ttlMs)}`;
  if (event.previousEnd !== null) {
    const { kind, instanceId, endedAt } = event.previousEnd;
    return {
      ...warn(text),
      hint: `The last run of this command (${instanceId}, until ${endedAt}) had an unclean end: ${unclean(kind)}.`,
    };
  }
  if (event.runKeyOfOtherCommand === undefined) return good(text);
  return {
    ...warn(text),
    hint:
      `The run key was also used with another command: ${shortened(event.runKeyOfOtherCommand)}. The same key with another ` +
      'command is different work. A key that others wait for (migrate-lock wait) should belong to one command.',
  };
}

function skipped(event: EventOf<'run.skipped'>): Message {
  const { byHost, by, byCommand, exitCode } = event;
  if (event.reason === 'check') return good('nothing to run: the check found nothing pending');
  const [runKey, finishedAt] = [event.runKey ?? '', event.finishedAt ?? ''];
  const who = hostAndCommand(byHost ?? by ?? '', byCommand);
  if (!event.succeeded) {
    return {
      ...bad(
        `nothing to run: the work of ${runKey} failed on ${who} at ${finishedAt}, with exit code ${exitCode}`,
      ),
      hint: 'To try it again at once, use --on-failure retry.',
    };
  }
  const text = `nothing to run: the work of ${runKey} was done by ${who} at ${finishedAt}`;
  return good(text);
}

function sessionsEnded(ended: number): string {
  return ended === 0 ? '' : `; ended ${count(ended, 'database session', 'database sessions')} of it`;
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}

const info = (text: string): Message => ({ text, tone: 'info' });
const good = (text: string): Message => ({ text, tone: 'good' });
const warn = (text: string): Message => ({ text, tone: 'warn' });
const bad = (text: string): Message => ({ text, tone: 'bad' });
