"""The Japanese wording; the key is the English one."""

from __future__ import annotations

from typing import Final

JAPANESE: Final[dict[str, str]] = {
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
    "Level": "レベル",
    "Clear": "解除",
    "Open": "開く",
    "New demo run": "デモを始める",
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
    "{run} has failed.": "{run} が失敗しました。",
    "Copied the text.": "本文をコピーしました。",
    "Copied the run's path.": "ランの場所をコピーしました。",
    "so8t resume {run}": "so8t resume {run}",
    "This window cannot start engines. Use:": "この画面では起動できません。コマンドで:",
    "Link": "リンク",
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
    "Stop the engine?": "エンジンを止めますか?",
    "The present phase saves what it can and the engine ends.": (
        "今の段階を保存し、エンジンを終了します。"
    ),
    "The run can be resumed later.": "ランは後で再開できます。",
    "stop": "止める",
    "go on": "続ける",
    "Keys": "キー",
    "States": "状態",
    # home
    "Runs in {path}": "{path} のラン",
    "Press n to start the demo: all eight phases, minutes on two cores.": (
        "n を押すとデモが始まります。全8段階、2コアで数分です。"
    ),
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
    # overview
    "Phases": "段階",
    "Machine": "マシン",
    "Readings come with an engine.": "エンジンが動くと表示されます。",
    "Newest log lines": "最新のログ",
    "Messages of the phases appear here.": "各段階のメッセージがここに出ます。",
    "try {number} in {time}": "{time} 後に {number} 回目",
    "{count} fallbacks": "代替 {count} 件",
    "Load, %": "負荷 %",
    "Memory, GB": "メモリ GB",
    "memory": "メモリ",
    "engine": "エンジン",
    "disk free": "ディスク空き",
    "no GPU": "GPU なし",
    "heat": "温度",
    # plain progress
    "try {number}": "{number} 回目",
    "checkpoint at step {step}, {size}, {reason}": (
        "ステップ {step} のチェックポイント, {size}, {reason}"
    ),
    "goes on after step {step}": "ステップ {step} の後から続けます",
    "engine ended: {reason}": "エンジン終了: {reason}",
    # crawl
    "Progress": "進み具合",
    "Starts with the crawl.": "収集が始まると表示されます。",
    "Answers": "応答",
    "HTTP status classes.": "HTTP ステータスの種類。",
    "Failed": "失敗したもの",
    "Refused": "取得しなかったもの",
    "What a rule kept out, and which.": "どの規則で除いたか。",
    "Newest pages": "新しいページ",
    "Fetched pages appear here.": "取得したページがここに出ます。",
    "Hosts": "ホスト",
    "host": "ホスト",
    "pages": "ページ",
    "speed": "速さ",
    "received": "受信",
    "queued": "待ち",
    "in-flight": "取得中",
    # cleanse
    "Funnel": "選別",
    "Starts when the crawl is done.": "収集が終わると始まります。",
    "Dropped, by reason": "除外の理由",
    "Each drop has its reason.": "除外にはすべて理由があります。",
    "Personal data masked": "伏せた個人情報",
    "Safety labels": "安全ラベル",
    "Duplicates": "重複",
    "None so far.": "まだありません。",
    "Samples": "サンプル",
    "Documents appear here.": "文書がここに出ます。",
    "progress": "進み",
    "documents": "文書",
    "kept": "採用",
    "dropped": "除外",
    # model
    "Verification": "検証",
    "Proof that the gated model equals the base.": "ゲート付きモデルが元と等しいことの証明。",
    "Integration": "統合",
    "What is written, and where.": "書き出したものと場所。",
    "Export": "書き出し",
    "Folded model and GGUF files.": "畳み込んだモデルと GGUF。",
    "Rotation angle, mean": "回転角の平均",
    "Orthogonality error": "直交性の誤差",
    "Moves while training runs.": "学習中に動きます。",
    # train
    "Loss": "損失",
    "Learning rate": "学習率",
    "Gradient norm": "勾配ノルム",
    "Tokens/s": "トークン/秒",
    "eval": "評価",
    "LoRA": "LoRA",
    "gate": "ゲート",
    "norm": "ノルム",
    "tokens/s": "トークン/秒",
    "Drawn from the first step on.": "最初の更新から描かれます。",
    "Training": "学習",
    "Starts after integration.": "統合の後に始まります。",
    "Checkpoints": "チェックポイント",
    "Appear as they reach the disk.": "ディスクに届くと現れます。",
    "step": "ステップ",
    "epoch": "エポック",
    "time left": "残り時間",
    "loss": "損失",
    "evaluation loss": "評価損失",
    "orthogonality error": "直交性の誤差",
    "rotation angle, mean": "回転角の平均",
    # evaluate
    "Compared": "比較",
    "Base and tuned side by side.": "元と学習後を並べて。",
    "Figures": "数値",
    "Starts when training is done.": "学習が終わると始まります。",
    "Answers appear here.": "回答がここに出ます。",
    "base": "元",
    "tuned": "学習後",
    "difference": "差",
    # report
    "The report appears when all phases are done.": "すべての段階が終わると報告書が出ます。",
    "The report cannot be read: {why}. It should be at {path}": (
        "報告書を読めません: {why}。場所: {path}"
    ),
    "The report is long; this is its beginning. `o` names the file.": (
        "報告書が長いため、はじめの部分です。`o` で場所を示します。"
    ),
    # log
    "text to look for": "探す文字列",
    "{shown} of {all} lines": "{all} 行中 {shown} 行",
    "level {level} and above": "{level} 以上",
    "with “{needle}”": "「{needle}」を含む",
    "debug": "詳細",
    "info": "情報",
    "warning": "警告",
    "error": "エラー",
}
