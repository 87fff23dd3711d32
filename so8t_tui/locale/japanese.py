"""The Japanese wording; the key is the English one."""

from __future__ import annotations

from typing import Final

from so8t_tui.locale.japanese_panels import PANELS

JAPANESE: Final[dict[str, str]] = {
    **PANELS,
    # phases
    "crawl": "収集",
    "cleanse": "浄化",
    "verify": "検証",
    "integrate": "統合",
    "train": "学習",
    "evaluate": "評価",
    "export": "書出",
    "report": "報告",
    # states
    "pending": "待機",
    "starting": "起動中",
    "running": "実行中",
    "pausing": "停止処理",
    "paused": "一時停止",
    "retrying": "再試行待",
    "done": "完了",
    "skipped": "省略",
    "failed": "失敗",
    "cut off": "中断",
    "crashed": "異常終了",
    "silent": "応答なし",
    # tabs and keys
    "Overview": "概要",
    "Crawl": "収集",
    "Cleanse": "浄化",
    "Model": "モデル",
    "Train": "学習",
    "Evaluate": "評価",
    "Report": "報告",
    "Log": "ログ",
    "Tabs": "タブ",
    "Pause": "一時停止",
    "Pause hard": "保存して停止",
    "Resume": "再開",
    "Detach": "離れる",
    "Quit": "終了",
    "Runs": "一覧",
    "Stop": "停止",
    "Path": "場所",
    "Copy": "コピー",
    "Help": "ヘルプ",
    "Next tab": "次のタブ",
    "Previous tab": "前のタブ",
    "Down": "下へ",
    "Up": "上へ",
    "Top": "先頭へ",
    "Bottom": "末尾へ",
    "Filter": "絞り込み",
    "Clear": "解除",
    "Open": "開く",
    "Cancel": "やめる",
    "Close": "閉じる",
    "Pause and exit": "一時停止して終了",
    "日本語/English": "日本語/English",
    # title and pipeline
    "steps": "ステップ",
    "tasks": "課題",
    "reading the journal": "ジャーナルを読込中",
    "resume asked": "再開を要求済",
    "pause asked": "一時停止を要求済",
    "stop asked": "停止を要求済",
    "no engine": "エンジンなし",
    "engine {pid}": "エンジン {pid}",
    "{time} left": "残り {time}",
    # announcements and messages
    "{run} is done.": "{run} が完了しました。",
    "{run}: {phase} is done.": "{run}: {phase}が完了しました。",
    "{run} has failed.": "{run} が失敗しました。",
    "Copied the text.": "本文をコピーしました。",
    "Copied the run's path.": "ランの場所をコピーしました。",
    "so8t resume {run}": "so8t resume {run}",
    "This window cannot start engines. Use:": "この画面では起動できません。コマンドで:",
    # remarks
    "The engine was started and did not appear.": "エンジンを起動しましたが、現れません。",
    "next: read {path}": "次に: {path} を見てください",
    "The engine is gone without a word. What reached the disk is kept.": (
        "エンジンが突然なくなりました。ディスクに届いた分は残っています。"
    ),
    "next: press r to resume from there": "次に: r を押すとそこから再開します",
    "The engine holds the run but has given no sign of life for {age} s.": (
        "エンジンはランを保持していますが、{age} 秒間応答がありません。"
    ),
    "next: wait, or end process {pid} and resume": (
        "次に: 待つか、プロセス {pid} を終了して再開してください"
    ),
    "This run has not been started. Press r to start it.": (
        "このランはまだ始まっていません。r を押すと始まります。"
    ),
    "Done in {time}. Press 7 for the report.": "{time} で完了しました。7 で報告書を読めます。",
    "The run has failed.": "ランは失敗しました。",
    "next: press r to try again": "次に: r を押すともう一度試します",
    "where: {place}": "場所: {place}",
    "next: {hint}": "次に: {hint}",
    "then press r to try again": "その後 r を押すともう一度試します",
    "Paused; the process keeps its memory. Press space to go on.": (
        "一時停止中です。メモリは保持されています。スペースで再開します。"
    ),
    "Paused; work is saved and memory is freed. Press space to go on.": (
        "一時停止中です。保存済みで、メモリは解放されています。スペースで再開します。"
    ),
    "Paused; work is saved and no engine runs. Press space to go on.": (
        "一時停止中です。保存済みで、エンジンは動いていません。スペースで再開します。"
    ),
    # dialogs
    "Leave this run?": "このランを離れますか?",
    "An engine is working on it.": "エンジンが作業中です。",
    "the engine goes on by itself": "エンジンはそのまま動き続けます",
    "a checkpoint is written, memory freed": "チェックポイントを保存し、メモリを解放します",
    "stay here": "この画面に戻ります",
    "The present phase saves what it can and the engine ends.": (
        "今の段階を保存し、エンジンを終了します。"
    ),
    "The run can be resumed later.": "ランは後で再開できます。",
    "stop": "止める",
    "Keys": "キー",
    "States": "状態",
    # home
    "Runs in {path}": "{path} のラン",
    "No run here yet.": "まだランがありません。",
    "Or start one from your settings: so8t run -c FILE": (
        "設定ファイルから始めるには: so8t run -c FILE"
    ),
    "run": "ラン",
    "state": "状態",
    "phases": "段階",
    "phase": "現在",
    "started": "開始",
    "unreadable": "読込不可",
    # keys
    "Back": "戻る",
    "Browser": "ブラウザー",
    "Chart above": "上のグラフ",
    "Chart below": "下のグラフ",
    "Commands": "コマンド",
    "Compare": "比較",
    "Contents": "目次",
    "Control": "操作",
    "Cursor left": "カーソルを左へ",
    "Cursor right": "カーソルを右へ",
    "Demo": "デモ",
    "Details": "詳細",
    "Do it": "実行",
    "Enlarge": "拡大",
    "Everything": "全体",
    "Field before": "前の欄",
    "Follow": "追従",
    "Level": "レベル",
    "Links": "リンク",
    "Log scale": "対数目盛",
    "Mark only": "印だけ",
    "Match before": "前の一致",
    "New run": "新しいラン",
    "Next field": "次の欄",
    "Next match": "次の一致",
    "Next theme": "次の配色",
    "Overlay": "重ねる",
    "Pan left": "左へ送る",
    "Pan right": "右へ送る",
    "Phase": "段階",
    "Plots": "グラフ",
    "Start": "開始",
    "Zoom in": "拡大表示",
    "Zoom out": "縮小表示",
    "Resources": "資源",
    # themes and greeting
    "Dark": "暗い配色",
    "Light": "明るい配色",
    "Colour-blind safe": "色覚多様性に配慮した配色",
    "High contrast": "高コントラスト",
    "Theme: {name}": "配色: {name}",
    "Welcome": "ようこそ",
    "Ctrl+P finds every command, ? shows the keys, L changes the language.": (
        "Ctrl+P で全コマンド、? でキー一覧、L で言語を切り替えます。"
    ),
    "This terminal is written in {encoding}.": "端末への出力は {encoding} です。",
    "next: set LANG to a UTF-8 locale, such as C.UTF-8": (
        "次に: LANG を C.UTF-8 などの UTF-8 ロケールにしてください"
    ),
    "Also in {path}": "{path} にも書きました",
    "If your terminal refuses OSC 52, nothing was copied.": (
        "端末が OSC 52 を受け付けない場合、コピーされていません。"
    ),
    "read-only": "閲覧のみ",
    # control
    "asks for a letter": "文字入力で確認",
    "do it": "実行する",
    "leave it": "やめる",
    "{wish}?": "{wish} — よろしいですか?",
    "Asked for: {wish}.": "要求しました: {wish}",
    "Asked for: {wish}. The engine does it in its turn.": (
        "要求しました: {wish}。順番が来ると実行されます。"
    ),
    "Noted: {wish}. The next engine does it.": "記録しました: {wish}。次のエンジンが実行します。",
    "Stop the engine": "エンジンを止める",
    "Goes on from what is saved.": "保存したところから続けます。",
    "The phase holds at its next safe moment; its process keeps its memory.": (
        "次の安全な時点で止まります。プロセスとメモリは保たれます。"
    ),
    "The phase saves, its process ends, memory and GPU are freed.": (
        "保存してプロセスを終え、メモリと GPU を解放します。"
    ),
    "Retry {phase}": "{phase}をやり直す",
    "{phase} runs again from its beginning.": "{phase}をはじめから実行し直します。",
    "Its present result is thrown away.": "今の結果は捨てられます。",
    "If its result changes, these run again too: {phases}.": (
        "結果が変わると、次もやり直します: {phases}。"
    ),
    "Skip {phase}": "{phase}を省略する",
    "{phase} is left out of this run.": "このランでは{phase}を行いません。",
    "What it is doing now is ended; what it saved stays on the disk.": (
        "今の作業は終わります。保存した分はディスクに残ります。"
    ),
    "These need its result and are skipped as well: {phases}.": (
        "その結果が要る次の段階も省略されます: {phases}。"
    ),
    "Change {name}": "{name} を変える",
    "Enter takes it.": "Enter で確定します。",
    "Least seconds between two requests to a host; robots.txt may ask for more.": (
        "同じホストへの要求の最小間隔 (秒)。robots.txt がさらに長く求めることもあります。"
    ),
    "Requests at the same time over all hosts; never more than one a host.": (
        "全ホスト合計の同時要求数。同じホストへは常に一つまでです。"
    ),
    "A checkpoint is written when the last one is this many seconds old.": (
        "前回からこの秒数がたつとチェックポイントを書きます。"
    ),
    "A checkpoint is written after every so many steps.": (
        "このステップ数ごとにチェックポイントを書きます。"
    ),
    "The held-out loss is measured once more, after the first step from this one on.": (
        "このステップ以降の最初の更新の後に、評価損失をもう一度測ります。"
    ),
    # starting and comparing
    "Press D to start the demo: all eight phases, minutes on two cores.": (
        "D を押すとデモが始まります。全8段階、2コアで数分です。"
    ),
    "Start a run": "ランを始める",
    "Settings file": "設定ファイル",
    "Changes, such as train.max_steps=100": "変更 (例: train.max_steps=100)",
    "Enter or Ctrl+S starts it.": "Enter か Ctrl+S で始まります。",
    "Valid: {name}": "有効な設定: {name}",
    "Compare {run} with": "{run} と比べるラン",
    "There is no other run in this folder.": "このフォルダーに他のランはありません。",
    "Reading both journals.": "両方のジャーナルを読んでいます。",
}
