"""The web page's style sheet and scripts. No font, image or script comes from elsewhere; colours are the theme's, so
light and dark follow the browser."""

from __future__ import annotations

CSS = """
:root { --cr-dim: #52606d; }
.dark { --cr-dim: #a9b4c2; }
.gradio-container { max-width: 1360px !important; margin: 0 auto !important; padding: 0 !important; }
.gradio-container main.app { padding: 14px 18px !important; }
#cr-head { padding: 2px 2px 6px; }
.cr-head { display: flex; flex-wrap: wrap; gap: 6px 12px; align-items: baseline; }
.cr-head h1 { font-size: 1.35rem; font-weight: 700; margin: 0; }
.cr-chip { font-size: .78rem; padding: 2px 9px; border-radius: 999px; border: 1px solid var(--border-color-primary);
  background: var(--background-fill-secondary); color: var(--body-text-color); white-space: nowrap; max-width: 100%;
  overflow: hidden; text-overflow: ellipsis; }
.cr-note { font-size: .8rem; color: var(--cr-dim); }
#cr-talk { height: calc(100vh - 186px); min-height: 300px; overflow-y: auto; position: relative; gap: 0;
  border: 1px solid var(--border-color-primary); border-radius: 12px; padding: 14px;
  background: var(--background-fill-secondary); flex-wrap: nowrap; }
.cr-turn { display: flex; flex-direction: column; gap: 8px; padding-bottom: 18px; color: var(--body-text-color); }
.cr-user, .cr-reply { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.5; }
.cr-user { align-self: flex-end; max-width: 85%; padding: 8px 13px; border-radius: 14px 14px 4px 14px;
  background: var(--color-accent-soft); border: 1px solid var(--border-color-accent-subdued, transparent); }
.cr-reply { align-self: flex-start; max-width: 95%; }
.cr-status { font-size: .85rem; color: var(--cr-dim); overflow-wrap: anywhere; }
.cr-status.cr-busy::before { content: ""; display: inline-block; width: .6em; height: .6em; margin-right: .5em;
  border-radius: 50%; background: var(--color-accent); animation: cr-pulse 1s infinite alternate; }
@keyframes cr-pulse { from { opacity: .25; } to { opacity: 1; } }
@media (prefers-reduced-motion: reduce) { .cr-status.cr-busy::before { animation: none; } }
.cr-reply + .cr-status { margin-top: -2px; }
.cr-problem { border-left: 3px solid #d9480f; padding: 4px 10px; font-size: .9rem; overflow-wrap: anywhere; }
.cr-welcome { padding: 20px 8px; max-width: 46em; color: var(--body-text-color); line-height: 1.55; }
.cr-welcome h2 { font-size: 1.1rem; margin: 0 0 6px; font-weight: 650; }
.cr-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(250px, 100%), 1fr)); gap: 10px;
  list-style: none; padding: 0; margin: 0; }
.cr-card { display: flex; flex-direction: column; gap: 5px; padding: 12px; border-radius: 10px; margin: 0;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-primary);
  color: var(--body-text-color); overflow-wrap: anywhere; }
.cr-card h3 { font-size: 1rem; line-height: 1.3; margin: 0; font-weight: 650; }
.cr-card h3 span { font-weight: 400; color: var(--cr-dim); }
.cr-meta { font-size: .82rem; color: var(--cr-dim); line-height: 1.4; }
.cr-reason { font-size: .9rem; line-height: 1.4; flex: 1; }
.cr-acts { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 4px; }
.cr-btn { font: inherit; font-size: .82rem; min-height: 34px; min-width: 38px; padding: 3px 10px; cursor: pointer;
  border-radius: 8px; border: 1px solid var(--border-color-primary); color: var(--body-text-color);
  background: var(--background-fill-secondary); }
.cr-btn:hover, .cr-btn:focus-visible { border-color: var(--color-accent); }
.cr-btn:focus-visible { outline: 2px solid var(--color-accent); outline-offset: 1px; }
.cr-btn[aria-pressed="true"] { background: #4f46e5; border-color: #4f46e5; color: #fff; }
.cr-btn svg { display: inline-block; vertical-align: -3px; fill: none; stroke: currentColor; stroke-width: 1.6;
  stroke-linejoin: round; }
#cr-new { flex: none; width: auto; align-self: flex-start; }
.cr-link { font: inherit; font-size: .85rem; color: var(--body-text-color) !important; text-decoration: underline;
  background: none; border: 0; padding: 6px 2px; cursor: pointer; }
.cr-examples { display: flex; flex-wrap: wrap; gap: 8px; }
.cr-examples .cr-btn { text-align: left; border-radius: 16px; padding: 5px 13px; }
.cr-panel h2 { font-size: 1rem; font-weight: 650; margin: 0 0 6px; color: var(--body-text-color); }
.cr-summary { font-size: .88rem; line-height: 1.45; white-space: pre-line; overflow-wrap: anywhere; margin: 0 0 8px;
  color: var(--body-text-color); }
.cr-find { display: flex; gap: 6px; margin: 0 0 8px; }
.cr-find input { flex: 1; min-width: 0; font: inherit; font-size: .88rem; padding: 4px 9px; border-radius: 8px;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-primary);
  color: var(--body-text-color); }
.cr-link input[type=file] { display: none; }
.cr-beliefs { list-style: none; padding: 0; margin: 0; }
.cr-belief { padding: 8px 0; margin: 0; border-top: 1px solid var(--border-color-primary);
  color: var(--body-text-color); }
.cr-line { display: flex; gap: 6px; align-items: flex-start; }
.cr-line > div { flex: 1; min-width: 0; overflow-wrap: anywhere; font-size: .92rem; line-height: 1.4; }
.cr-line .cr-btn { min-width: 34px; padding: 3px 8px; }
.cr-form { display: none; gap: 6px; flex-wrap: wrap; margin-top: 6px; }
.cr-belief.cr-editing .cr-form { display: flex; }
.cr-form input, .cr-form select { font: inherit; font-size: .9rem; padding: 5px 8px; border-radius: 8px; min-width: 0;
  min-height: 34px; border: 1px solid var(--border-color-primary); color: var(--body-text-color);
  background: var(--input-background-fill); }
.cr-form input { flex: 1 1 12em; }
.cr-trace { font-size: .85rem; color: var(--body-text-color); overflow-wrap: anywhere; line-height: 1.45; }
.cr-trace h4 { font-size: .85rem; margin: 10px 0 2px; font-weight: 650; }
.cr-trace ul { margin: 0; padding-left: 18px; list-style: disc; }
.cr-trace table { width: 100%; border-collapse: collapse; font-size: .8rem; }
.cr-trace th, .cr-trace td { text-align: left; padding: 3px 6px 3px 0; vertical-align: top; border: 0;
  border-bottom: 1px solid var(--border-color-primary); }
.cr-trace td.cr-num, .cr-trace th.cr-num { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.cr-trace pre { white-space: pre-wrap; font-size: .76rem; padding: 8px; border-radius: 8px; overflow-wrap: anywhere;
  background: var(--background-fill-secondary); color: var(--body-text-color); max-height: 300px; overflow-y: auto; }
@media (max-width: 640px) {
  .gradio-container main.app { padding: 8px !important; }
  #cr-talk { height: 58vh; padding: 10px; }
  .cr-user { max-width: 92%; }
}
"""

# One listener per component: it hands what was clicked to the server, which checks all of it.
CLICKS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (!button || !element.contains(button) || button.tagName === 'INPUT') return;
  const row = button.closest('.cr-belief');
  const act = button.dataset.act;
  if (act === 'open') {
    row.classList.toggle('cr-editing');
    if (row.classList.contains('cr-editing')) row.querySelector('input').focus();
    return;
  }
  if (act === 'forget-all' && !window.confirm('Erase everything I believe about you? This cannot be undone.')) return;
  const data = { act, id: button.dataset.id || '', turn: Number(button.dataset.turn || -1) };
  if (act === 'edit') {
    data.text = row.querySelector('input').value;
    data.polarity = row.querySelector('select').value;
    row.classList.remove('cr-editing');
  }
  if (act === 'find') data.text = button.parentElement.querySelector('input').value;
  trigger('click', data);
});
element.addEventListener('change', async (event) => {
  const file = event.target.dataset.act === 'import-file' && event.target.files[0];
  if (!file) return;
  if (file.size > 5e6) { window.alert('This file is larger than 5 MB.'); return; }
  trigger('click', { act: 'import', id: '', turn: -1, text: await file.text() });
});
element.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && event.target.closest('.cr-find'))
    event.target.closest('.cr-find').querySelector('button').click();
  const row = event.target.closest('.cr-belief.cr-editing');
  if (!row) return;
  if (event.key === 'Escape') row.classList.remove('cr-editing');
  if (event.key === 'Enter' && event.target.tagName === 'INPUT') row.querySelector('[data-act=edit]').click();
});
"""

# The newest turn is kept at its beginning until the user scrolls; what the user reads is never moved.
SCROLL = """
const box = element.closest('#cr-talk');
let turns = 0, following = true;
for (const kind of ['wheel', 'touchmove', 'keydown', 'mousedown'])
  box.addEventListener(kind, () => { following = false; }, { passive: true });
new MutationObserver(() => {
  const all = box.querySelectorAll('.cr-turn');
  following = following || all.length > turns;
  turns = all.length;
  if (following && turns) box.scrollTop = all[turns - 1].offsetTop - 10;
}).observe(box, { childList: true, subtree: true, characterData: true });
"""
