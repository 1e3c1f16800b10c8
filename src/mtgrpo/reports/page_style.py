"""How a page looks, and what it may load: nothing."""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
MARK = '<meta name="generator" content="mtgrpo">'
"""Tells a page of ours from other files; it must not change, or older pages are not replaced."""

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1c1e21;
  --soft: #5c6370;
  --line: #dfe2e7;
  --back: #ffffff;
  --card: #f6f7f9;
  --good: #116633;
  --bad: #b3123c;
  --accent: #2f6299;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e8eaed;
    --soft: #a3a9b3;
    --line: #3a3f47;
    --back: #16181c;
    --card: #1f2227;
    --good: #6fcf97;
    --bad: #ff8fa3;
    --accent: #8fbbe8;
  }
  .figure svg { filter: invert(0.91) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto;
  max-width: 74rem;
  padding: 1.2rem 1rem 4rem;
  background: var(--back);
  color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere;
}
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0.2rem 0 0.3rem; }
h2 {
  font-size: 1.15rem;
  margin: 2.2rem 0 0.7rem;
  padding-top: 0.9rem;
  border-top: 1px solid var(--line);
}
h3 { font-size: 1rem; margin: 1.2rem 0 0.4rem; }
p { margin: 0.4rem 0; max-width: 48rem; }
.soft { color: var(--soft); font-size: 0.9rem; }
.notice {
  border-left: 4px solid var(--bad);
  background: var(--card);
  padding: 0.6rem 0.9rem;
  margin: 0.8rem 0;
}
.cards {
  display: grid;
  grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr));
  gap: 0.7rem;
  margin: 1rem 0;
}
.card {
  background: var(--card);
  border: 1px solid var(--line);
  border-radius: 8px;
  padding: 0.7rem 0.9rem;
}
.card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.card span { display: block; color: var(--soft); font-size: 0.85rem; }
.figures {
  display: grid;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 32rem), 1fr));
  gap: 1rem;
}
.figure { margin: 0; min-width: 0; }
.figure .scroll { background: transparent; }
.figure svg {
  display: block;
  width: 100%;
  min-width: 28rem;
  height: auto;
  border-radius: 6px;
}
.figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
figcaption { color: var(--soft); font-size: 0.88rem; margin-top: 0.3rem; }
.scroll { overflow-x: auto; max-width: 100%; }
table {
  border-collapse: collapse;
  font-size: 0.9rem;
  font-variant-numeric: tabular-nums;
  min-width: 100%;
}
th, td {
  padding: 0.35rem 0.7rem;
  border-bottom: 1px solid var(--line);
  text-align: right;
  white-space: nowrap;
  overflow-wrap: normal;
}
th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child {
  text-align: left;
  white-space: normal;
  min-width: 11rem;
  max-width: 24rem;
  overflow-wrap: anywhere;
}
.good { color: var(--good); }
.bad { color: var(--bad); }
.total td { font-weight: 600; }
details {
  border: 1px solid var(--line);
  border-radius: 8px;
  margin: 0.5rem 0;
  padding: 0 0.9rem;
}
summary { cursor: pointer; padding: 0.5rem 0; }
pre {
  background: var(--card);
  border: 1px solid var(--line);
  border-radius: 6px;
  padding: 0.6rem 0.8rem;
  margin: 0.4rem 0 0.9rem;
  font: 0.82rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
  white-space: pre-wrap;
  overflow-wrap: anywhere;
  max-height: 30rem;
  overflow: auto;
  unicode-bidi: isolate;
}
.tag { font-size: 0.8rem; font-weight: 600; }
bdi { unicode-bidi: isolate; }
"""
