// What was measured on this host, kept between runs: a choice of algorithm must not change from run
// to run, or sums of floating-point numbers would (reduce.h). So each pair class is measured once,
// and the file decides from then on.
//
// One item a line: "shm LATENCY PER_BYTE", "udp LATENCY PER_BYTE" (seconds; seconds per byte),
// "copy PER_BYTE", "reduce PER_BYTE", "innet ROUND_TRIP PER_PACKET" (of a switch that adds up),
// under the title line "weft costs 1".
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectives/cost.h"

namespace weft::collectives {

class CostFile {
  public:
    // The file that WEFT_COSTS names; without it the host's own in the user's cache folder.
    // WEFT_COSTS=default: no file, nothing is measured and the built-in figures count.
    // Throws Error(INVALID) naming file and line where it cannot be read as what it should be.
    static CostFile open();

    bool measures() const noexcept { return measures_; }
    // Where the figures came from, for people: "built-in figures", or the file.
    std::string source() const;
    // "shm", "udp", "innet": two figures; "copy", "reduce": one figure.
    bool knows(std::string_view item) const { return values_.find(item) != values_.end(); }
    void set(std::string_view item, std::vector<double> values);
    // Lets the file's figures replace the model's.
    void apply(CostModel& model) const;
    // Best effort: a host where nothing can be written measures again next time.
    void save() const noexcept;

  private:
    void parse(std::string_view text);

    bool measures_ = true;
    std::string path_;  // empty: nowhere
    std::map<std::string, std::vector<double>, std::less<>> values_;
};

}  // namespace weft::collectives
