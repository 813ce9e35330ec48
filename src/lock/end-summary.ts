import type { UncleanEndSummary } from '../events/events.js';
import { formatMoment } from '../text/moment.js';
import type { UncleanEnd } from './answers.js';

/** An unclean end as events and `status` show it. */
export function endSummary({ kind, instanceId, command, endedAtMs }: UncleanEnd): UncleanEndSummary {
  return { kind, instanceId, command, endedAt: formatMoment(endedAtMs) };
}
