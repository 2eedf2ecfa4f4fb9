// Figures and times as people read them. Everything here is a function of its arguments.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export function dollars(usd: number): string {
  const size = Math.abs(usd);
  if (size >= 10_000) return `$${(usd / 1000).toFixed(1)}k`;
  if (size >= 1000) return `$${usd.toFixed(0).replace(/\B(?=\d{3}$)/, ",")}`;
  if (size > 0 && size < 0.01) return size < 0.0001 ? "<$0.0001" : `$${usd.toFixed(4)}`;
  return `$${usd.toFixed(2)}`;
}

export function percent(share: number | null): string {
  if (share === null) return "–";
  const points = share * 100;
  if (points > 0 && points < 1) return "<1%";
  return `${Math.round(points)}%`;
}

export function count(n: number): string {
  if (n >= 1e9) return `${(n / 1e9).toFixed(1)}B`;
  if (n >= 1e6) return `${(n / 1e6).toFixed(1)}M`;
  if (n >= 10_000) return `${(n / 1e3).toFixed(0)}k`;
  return String(n);
}

export function plural(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

/** A span, in its two largest units: "2 h 10 min", "3 d 4 h", "40 s". */
export function span(ms: number): string {
  const size = Math.max(0, ms);
  if (size < MINUTE) return `${Math.round(size / 1000)} s`;
  if (size < HOUR) return `${Math.floor(size / MINUTE)} min`;
  if (size < DAY) {
    const minutes = Math.floor((size % HOUR) / MINUTE);
    return `${Math.floor(size / HOUR)} h${minutes ? ` ${minutes} min` : ""}`;
  }
  const hours = Math.floor((size % DAY) / HOUR);
  return `${Math.floor(size / DAY)} d${hours && size < 10 * DAY ? ` ${hours} h` : ""}`;
}

/** A span in its largest unit alone: "2h", "3d". */
export function shortSpan(ms: number): string {
  const size = Math.max(0, ms);
  if (size < MINUTE) return `${Math.round(size / 1000)}s`;
  if (size < HOUR) return `${Math.round(size / MINUTE)}m`;
  if (size < DAY) return `${Math.round(size / HOUR)}h`;
  return `${Math.round(size / DAY)}d`;
}

export function seconds(value: number): string {
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  return span(value * 1000);
}

function two(n: number): string {
  return String(n).padStart(2, "0");
}

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/** A time of the reader's own clock: "14:35" today, "Tue 14:35" within a week, else "2 Dec 14:35". */
export function clock(at: string | number, now: number): string {
  const time = new Date(at);
  const text = `${two(time.getHours())}:${two(time.getMinutes())}`;
  const today = new Date(now);
  if (time.toDateString() === today.toDateString()) return text;
  if (Math.abs(time.getTime() - now) < 6 * DAY) return `${DAYS[time.getDay()]} ${text}`;
  return `${day(time.getTime())} ${text}`;
}

export function dayName(at: number): string {
  return DAYS[new Date(at).getDay()] ?? "";
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A day of the calendar in UTC, which is the pool's. */
export function utcDay(at: number): string {
  const time = new Date(at);
  return `${time.getUTCDate()} ${MONTHS[time.getUTCMonth()]}`;
}

function day(at: number): string {
  const time = new Date(at);
  return `${time.getDate()} ${MONTHS[time.getMonth()]}`;
}

/** An id that is too long to be read: its end tells it from others. */
export function shortId(id: string): string {
  return id.length <= 12 ? id : `…${id.slice(-8)}`;
}

/** "seven_day_opus" as "Week, Opus". */
export function windowName(name: string): string {
  if (name === "weekly_budget") return "weekly budget";
  if (name === "seven_day_overage_included") return "Week, Fable";
  const known = /^(five_hour|seven_day)(?:_(.+))?$/.exec(name);
  if (known === null) return words(name);
  const period = known[1] === "five_hour" ? "Five hours" : "Week";
  return known[2] === undefined ? period : `${period}, ${words(known[2])}`;
}

export function words(name: string): string {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
